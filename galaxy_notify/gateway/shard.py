"""One shard of a consumer: one loop reads new entries, one delivers pending ones again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from galaxy_notify.backoff import delay_ms
from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.acknowledger import Acknowledger
from galaxy_notify.gateway.event import Event, decode_event
from galaxy_notify.gateway.handler import HandlerRunner
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.faults import Fault
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.stream_member import Entry, Waiting
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.telemetry.logs import get_logger

_BLOCK_MS: Final = 500
_SWEEP_S: Final = 1.0
#: With this many entries waiting for another delivery no new ones are read.
_MOST_WAITING: Final = 1000
_RNG: Final = Random()  # unused by delays without jitter


class _Delivery(NamedTuple):
    entry: Entry
    event: Event
    seen: bool | None  # None: a duplicate comes first, so look it up later


class ShardReader:
    """Delivers the entries of one shard to the handler."""

    def __init__(
        self,
        member: GroupMember,
        options: ConsumerOptions,
        runner: HandlerRunner,
        stop: StopFlag,
        log: OutageLog,
        stagger: Stagger,
    ) -> None:
        self._member = member
        self._options = options
        self._runner = runner
        self._stop = stop
        self._retry_read, self._retry_sweep, retry_ack = (
            RetryUntilStopped(stop, log, stagger, self._recover, node=lambda: member.node)
            for _ in range(3)
        )
        self._acks = Acknowledger(member, options, retry_ack)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._in_flight: set[str] = set()
        self._events_in_flight: set[str] = set()
        self._is_crowded = False
        self._log = get_logger("gateway", group=member.group, shard=member.keys.shard)

    async def run(self) -> None:
        """Deliver until the consumer stops, then release the remaining entries for others."""
        try:
            await self._retry_read(self._member.join)
        except Stopped:
            return
        try:
            await together(self._stop, self._read(), self._sweep())
        finally:
            with suppress(Stopped):
                await self._acks.close()

    async def _read(self) -> None:
        try:
            while not self._stop:
                await self.run_once()
        except Stopped:
            self._log.info("stopped during an outage")

    async def run_once(self) -> int:
        """Read once and deliver; return how many entries came. Raises `Stopped`."""
        if self._is_crowded:
            await self._stop.wait(_SWEEP_S)
            return 0
        entries = await self._retry_read(lambda: self._member.read(self._options.batch, _BLOCK_MS))
        await self._deliver(entries)
        return len(entries)

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        """Deliver entries that were just read, in order for each user."""
        read_at = time.monotonic()
        self._in_flight.update(entry.stream_id for entry in entries)
        try:
            lanes = self._lanes(await self._decode(entries, self._retry_read))
            await together(self._stop, *(self._lane(lane, read_at) for lane in lanes))
            # The next read looks its events up among the marks, so these must be complete.
            await self._acks.flush()
        finally:
            left = [entry.stream_id for entry in entries if entry.stream_id in self._in_flight]
            self._in_flight.difference_update(left)
        if self._stop and not self._is_late(read_at):
            await self._release(left, self._retry_read)

    def _lanes(self, deliveries: Iterable[_Delivery]) -> Iterable[list[_Delivery]]:
        lanes: dict[str, list[_Delivery]] = {}
        for delivery in deliveries:
            lane = "" if self._options.concurrency == 1 else delivery.event.user_id
            lanes.setdefault(lane, []).append(delivery)
        return lanes.values()

    async def _lane(self, deliveries: Sequence[_Delivery], read_at: float) -> None:
        for delivery in deliveries:
            async with self._slots:
                if self._stop or self._is_late(read_at):
                    return
                await self._handle(delivery)
                self._in_flight.discard(delivery.entry.stream_id)

    async def _sweep(self) -> None:
        pause = min(_SWEEP_S, self._options.retry_min_s, self._options.reclaim_idle_s)
        try:
            while not await self._stop.wait(pause):
                await self.sweep_once()
            await self._acks.flush()
        except Stopped:
            self._log.info("stopped during an outage")

    async def sweep_once(self) -> int:
        """Deliver failed entries, and stale ones of other consumers; return their number."""
        options, delivered = self._options, 0
        await self._acks.flush()
        own, stale = await self._retry_sweep(
            lambda: self._member.waiting(
                options.retry_min_ms, options.reclaim_idle_ms, _MOST_WAITING
            )
        )
        self._is_crowded = len(own) >= _MOST_WAITING
        for waiting, idle_ms in [(entry, self._pause_ms(entry)) for entry in own] + [
            (entry, options.reclaim_idle_ms) for entry in stale
        ]:
            if waiting.idle_ms >= idle_ms and not self._is_held(waiting):
                async with self._slots:
                    if self._stop:
                        return delivered
                    await self._redeliver(waiting, idle_ms)
                    delivered += 1
        return delivered

    async def _redeliver(self, waiting: Waiting, idle_ms: int) -> None:
        # Claimed singly, just before the handler: an event that kills the process affects no other.
        if self._is_held(waiting):
            return
        entry = await self._retry_sweep(lambda: self._member.take(waiting, idle_ms))
        if entry is None:
            if not await self._retry_sweep(lambda: self._member.exists(waiting.stream_id)):
                self._log.error("event lost to trimming", stream_id=waiting.stream_id)
            return
        if self._stop:
            await self._release([waiting.stream_id], self._retry_sweep)
            return
        self._in_flight.add(entry.stream_id)
        try:
            for delivery in await self._decode([entry], self._retry_sweep):
                if not delivery.seen and entry.deliveries > self._options.max_deliveries:
                    reason = f"not handled in {waiting.deliveries} deliveries"
                    await self._acks.park(entry, reason)
                else:
                    await self._handle(delivery)
        finally:
            self._in_flight.discard(entry.stream_id)

    async def _release(self, stream_ids: Sequence[str], retry: RetryUntilStopped) -> None:
        await retry(lambda: self._member.release(stream_ids, self._options.reclaim_idle_ms))

    async def _decode(self, entries: Iterable[Entry], retry: RetryUntilStopped) -> list[_Delivery]:
        """Decode entries, park corrupt ones, and look up which were handled already."""
        readable: list[tuple[Entry, Event]] = []
        keys = self._member.keys
        for entry in entries:
            try:
                readable.append((entry, decode_event(entry, keys.stream, keys.shard)))
            except Corrupt as error:
                await self._acks.park(entry, str(error))
                self._in_flight.discard(entry.stream_id)
        ids = [event.event_id for _, event in readable]
        seen = await retry(lambda: self._member.seen(ids)) if ids else set()
        first = {event.event_id: event.stream_id for _, event in reversed(readable)}
        return [
            _Delivery(entry, event, event.event_id in seen if is_first else None)
            for entry, event in readable
            for is_first in [first[event.event_id] == event.stream_id]
        ]

    async def _handle(self, delivery: _Delivery) -> None:
        event = delivery.event
        if event.event_id in self._events_in_flight:
            return  # a duplicate is in flight; the next sweep looks this one up again
        self._events_in_flight.add(event.event_id)
        try:
            if await self._was_handled(delivery):
                await self._acks.finish(event)
            else:
                await self._attempt(delivery.entry, event)
        finally:
            self._events_in_flight.discard(event.event_id)

    async def _was_handled(self, delivery: _Delivery) -> bool:
        event_id = delivery.event.event_id
        if delivery.seen or self._acks.is_being_marked(event_id):
            return True
        if delivery.seen is not None:
            return False
        return bool(await self._retry_read(lambda: self._member.seen([event_id])))

    async def _attempt(self, entry: Entry, event: Event) -> None:
        failure = await self._runner.run(event)
        if failure is None:
            await self._acks.finish(event)
        elif failure.final or event.deliveries >= self._options.max_deliveries:
            await self._acks.park(entry, failure.reason)
        else:
            log = self._log.info if self._stop else self._log.warning
            log(
                "handler failed",
                event_id=event.event_id,
                deliveries=event.deliveries,
                reason=failure.reason,
            )

    async def _recover(self, fault: Fault) -> bool:
        recreated = await self._member.recover(fault)
        if recreated:
            self._log.warning("consumer group recreated")
        return recreated

    def _pause_ms(self, waiting: Waiting) -> int:
        least, most = self._options.retry_min_ms, self._options.retry_max_ms
        return delay_ms(waiting.deliveries, least, most, "none", _RNG)

    def _is_held(self, waiting: Waiting) -> bool:
        return waiting.stream_id in self._in_flight or self._acks.is_unacknowledged(
            waiting.stream_id
        )

    def _is_late(self, read_at: float) -> bool:
        return time.monotonic() - read_at > self._options.in_hand_s
