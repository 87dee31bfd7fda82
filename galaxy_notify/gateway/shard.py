"""One shard of a consumer: one loop reads what is new, one delivers again what was left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple

from galaxy_notify.backoff import delay_ms
from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event, Position, decode_event
from galaxy_notify.gateway.handling import Handling
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.gateway.settling import Settling
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.faults import Fault, Remedy
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.stream_member import Entry, Waiting, no_group
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.telemetry.logs import get_logger

_BLOCK_MS: Final = 500
_SWEEP_S: Final = 1.0
#: With so many entries waiting for another delivery nothing new is read.
_CROWD: Final = 1000
_RNG: Final = Random()  # unused by delays without jitter


class _Delivery(NamedTuple):
    entry: Entry
    event: Event
    seen: bool | None  # None: its twin comes first, look again when its turn has come


class ShardReader:
    """Delivers the entries of one shard to the handler."""

    def __init__(
        self,
        member: GroupMember,
        options: ConsumerOptions,
        handling: Handling,
        stop: StopFlag,
        log: OutageLog,
        stagger: Stagger,
    ) -> None:
        self._member = member
        self._options = options
        self._handling = handling
        self._stop = stop
        self._reading, self._repeating, settle = (
            RetryUntilStopped(stop, log, stagger, self._recover, node=lambda: member.node)
            for _ in range(3)
        )
        self._settling = Settling(member, options, settle)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._in_hand: set[str] = set()
        self._events: set[str] = set()
        self._crowded = False
        self._log = get_logger("gateway", group=member.group, shard=member.keys.shard)

    async def run(self) -> None:
        """Deliver until the consumer stops; what is left then can be taken over at once."""
        try:
            await self._reading(self._member.join)
        except Stopped:
            return
        try:
            await together(self._stop, self._read(), self._repeat())
        finally:
            with suppress(Stopped):
                await self._settling.close()

    async def _read(self) -> None:
        try:
            while not self._stop:
                if self._crowded:
                    await self._stop.wait(_SWEEP_S)
                    continue
                entries = await self._reading(
                    lambda: self._member.read(self._options.batch, _BLOCK_MS)
                )
                await self._deliver(entries)
        except Stopped:
            self._log.info("stopped during an outage")

    async def _deliver(self, entries: Sequence[Entry]) -> None:
        """Deliver entries that were just read, each user's own in order."""
        read_at = time.monotonic()
        self._in_hand.update(entry.stream_id for entry in entries)
        try:
            lanes = self._lanes(await self._decode(entries, self._reading))
            await together(self._stop, *(self._lane(lane, read_at) for lane in lanes))
            # What is read next is looked up among the marks.
            await self._settling.flush()
        finally:
            left = [entry.stream_id for entry in entries if entry.stream_id in self._in_hand]
            self._in_hand.difference_update(left)
        if self._stop and not self._is_late(read_at):
            await self._reading(lambda: self._member.release(left, self._options.reclaim_idle_ms))

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
                self._in_hand.discard(delivery.entry.stream_id)

    async def _repeat(self) -> None:
        """Deliver again what failed here or was left by others."""
        pause = min(_SWEEP_S, self._options.retry_min_s, self._options.reclaim_idle_s)
        try:
            while not await self._stop.wait(pause):
                await self._sweep()
            await self._settling.flush()
        except Stopped:
            self._log.info("stopped during an outage")

    async def _sweep(self) -> None:
        options = self._options
        await self._settling.flush()
        own, stale = await self._repeating(
            lambda: self._member.waiting(options.retry_min_ms, options.reclaim_idle_ms, _CROWD)
        )
        self._crowded = len(own) >= _CROWD
        for waiting, idle_ms in [(entry, self._pause_ms(entry)) for entry in own] + [
            (entry, options.reclaim_idle_ms) for entry in stale
        ]:
            if waiting.idle_ms >= idle_ms and not self._is_held(waiting):
                async with self._slots:
                    if self._stop:
                        return
                    await self._again(waiting, idle_ms)

    async def _again(self, waiting: Waiting, idle_ms: int) -> None:
        # One at a time, just before its handler: whoever kills the process takes nobody along.
        if self._is_held(waiting):
            return
        entry = await self._repeating(lambda: self._member.take(waiting, idle_ms))
        if entry is None:
            await self._tell_if_trimmed(waiting)
            return
        if self._stop:
            await self._repeating(
                lambda: self._member.release([waiting.stream_id], self._options.reclaim_idle_ms)
            )
            return
        self._in_hand.add(entry.stream_id)
        try:
            for delivery in await self._decode([entry], self._repeating):
                if not delivery.seen and entry.deliveries > self._options.max_deliveries:
                    reason = f"not handled in {waiting.deliveries} deliveries"
                    await self._settling.park(entry, reason)
                else:
                    await self._handle(delivery)
        finally:
            self._in_hand.discard(entry.stream_id)

    async def _decode(self, entries: Iterable[Entry], retry: RetryUntilStopped) -> list[_Delivery]:
        """Read entries, parking those that nobody can read, and look up which were handled."""
        readable: list[tuple[Entry, Event]] = []
        keys = self._member.keys
        for entry in entries:
            position = Position(keys.stream, entry.stream_id, keys.shard, entry.deliveries)
            try:
                readable.append((entry, decode_event(entry.fields, position)))
            except Corrupt as error:
                await self._settling.park(entry, str(error))
                self._in_hand.discard(entry.stream_id)
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
        if event.event_id in self._events:
            return  # its twin is in hand; this one is looked up again by the next sweep
        self._events.add(event.event_id)
        try:
            if await self._was_handled(delivery):
                await self._settling.finish(event)
            else:
                await self._attempt(delivery.entry, event)
        finally:
            self._events.discard(event.event_id)

    async def _was_handled(self, delivery: _Delivery) -> bool:
        event_id = delivery.event.event_id
        if delivery.seen or self._settling.knows(event_id):
            return True
        if delivery.seen is not None:
            return False
        return bool(await self._reading(lambda: self._member.seen([event_id])))

    async def _attempt(self, entry: Entry, event: Event) -> None:
        failure = await self._handling.attempt(event)
        if failure is None:
            await self._settling.finish(event)
        elif failure.final or event.deliveries >= self._options.max_deliveries:
            await self._settling.park(entry, failure.reason)
        else:
            tell = self._log.info if self._stop else self._log.warning
            tell(
                "handler failed",
                event_id=event.event_id,
                deliveries=event.deliveries,
                reason=failure.reason,
            )

    async def _tell_if_trimmed(self, waiting: Waiting) -> None:
        if not await self._repeating(lambda: self._member.exists(waiting.stream_id)):
            self._log.error("event lost: its entry was trimmed", stream_id=waiting.stream_id)

    async def _recover(self, fault: Fault) -> bool:
        """Make a vanished group again; tell whether that helped."""
        if fault.remedy is Remedy.RESOLVE and "UNBLOCKED" not in fault.text:
            await self._member.refresh_primary()
        if not no_group(fault.text) or not await self._member.join():
            return False
        self._log.warning("group made again: it had vanished")
        return True

    def _pause_ms(self, waiting: Waiting) -> int:
        least, most = self._options.retry_min_ms, self._options.retry_max_ms
        return delay_ms(waiting.deliveries, least, most, "none", _RNG)

    def _is_held(self, waiting: Waiting) -> bool:
        return waiting.stream_id in self._in_hand or self._settling.holds(waiting.stream_id)

    def _is_late(self, read_at: float) -> bool:
        return time.monotonic() - read_at > self._options.in_hand_s
