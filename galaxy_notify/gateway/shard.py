"""One shard of a consumer: one loop reads new entries, one delivers pending ones again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from typing import Final, NamedTuple

from galaxy_notify.backoff import delay_ms
from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.acknowledger import Acknowledger
from galaxy_notify.gateway.delivery import BatchDelivery, Delivery
from galaxy_notify.gateway.event import Event, decode_event
from galaxy_notify.gateway.handler import BatchRunner, HandlerRunner
from galaxy_notify.gateway.in_hand import InHand
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.faults import Fault
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_client.stream_member import Entry, Waiting
from galaxy_notify.redis_state.group import GroupMember

_BLOCK_MS: Final = 500
_SWEEP_S: Final = 1.0
#: After a full read that was delivered in less time than this, reads are sent ahead.
_QUICK_S: Final = 0.1
_RNG: Final = Random()  # unused by delays without jitter


class _Read(NamedTuple):
    """Entries that were read together, and when they came (monotonic clock)."""

    entries: Sequence[Entry]
    at: float


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
        self._stop = stop
        self._retry_read, self._retry_sweep, self._retry_keep, retry_ack, retry_delivery = (
            RetryUntilStopped(stop, log, stagger, self._recover, node=lambda: member.node)
            for _ in range(5)
        )
        self._in_hand = InHand(member, options.in_hand_s)
        self._acks = Acknowledger(member, options, retry_ack)
        rest = (options, self._acks, retry_delivery, self._in_hand, stop)
        self._delivery = (
            BatchDelivery(runner, *rest)
            if isinstance(runner, BatchRunner)
            else Delivery(runner, *rest)
        )
        self._is_crowded = self._is_quick = False
        #: The next read, where it was sent before the last entries were delivered.
        self._ahead: asyncio.Task[_Read] | None = None
        self._log = self._acks.log

    async def run(self) -> None:
        """Deliver until the consumer stops, then release the remaining entries for others."""
        try:
            await self._retry_read(self._member.join)
        except Stopped:
            return
        try:
            await together(self._stop, self._read(), self._sweep(), self._keep())
        finally:
            try:
                with suppress(Stopped):
                    await self._put_back()
            finally:
                with suppress(Stopped):
                    await self._acks.close()
                    await self._leave()

    async def _read(self) -> None:
        try:
            while not self._stop:
                await self.run_once()
        except Stopped:
            self._log.info("stopped during an outage")

    async def run_once(self) -> int:
        """Read once and deliver; return how many entries came. Raises `Stopped`."""
        if self._is_crowded and self._ahead is None:
            await self._stop.wait(_SWEEP_S)
            return 0
        ahead, self._ahead = self._ahead, None
        entries, read_at = await (ahead or self._read_entries())
        is_full = len(entries) == self._delivery.most
        if self._is_quick and is_full and not (self._stop or self._is_crowded):
            # The server reads while the client works. Entries in hand are out of reach of other
            # consumers, so this is for those that are delivered in no time.
            self._ahead = asyncio.create_task(self._read_entries())
        began = time.monotonic()
        await self._deliver(entries, read_at, self._retry_read)
        # What came too late for the handler, or a few entries, do not show how quick it is.
        is_quick = time.monotonic() - began < _QUICK_S and not self._in_hand.is_late(read_at)
        self._is_quick = is_quick and (is_full or self._is_quick)
        if entries and not is_full and self._options.batch_wait_s:
            await self._stop.wait(began + self._options.batch_wait_s - time.monotonic())
        return len(entries)

    async def _read_entries(self) -> _Read:
        """Read once; what came is in hand until it was delivered. Raises `Stopped`."""
        most = self._delivery.most
        entries = await self._retry_read(lambda: self._member.read(most, _BLOCK_MS))
        # Where the group was set back, entries in hand come again: the sweep finds what is left.
        entries = [entry for entry in entries if entry.stream_id not in self._in_hand]
        self._in_hand.add(entries)
        return _Read(entries, time.monotonic())

    async def _put_back(self) -> None:
        """Release what was read ahead and is not delivered any more; raise `Stopped`."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            entries, read_at = await ahead
            if not self._in_hand.is_late(read_at):  # or another consumer may have them by now
                await self._release([entry.stream_id for entry in entries], self._retry_read)

    async def _deliver(
        self, entries: Sequence[Entry], read_at: float, retry: RetryUntilStopped
    ) -> None:
        """Deliver entries that were read, and release what a stop leaves of them."""
        in_hand = self._in_hand
        try:
            events = await self._decoded(entries)
            lookup = await self._delivery.look_up(events, retry)
            await self._delivery.deliver(events, lookup, read_at)
        finally:
            left = [entry.stream_id for entry in entries if entry.stream_id in in_hand]
            in_hand.discard(left)
        if self._stop and not in_hand.is_late(read_at):
            await self._release(left, retry)

    async def _sweep(self) -> None:
        pause = min(_SWEEP_S, self._options.retry_min_s, self._options.reclaim_idle_s)
        try:
            while not await self._stop.wait(pause):
                await self.sweep_once()
            await self._acks.flush()
        except Stopped:
            self._log.info("stopped during an outage")

    async def _keep(self) -> None:
        """Claim entries for longer while their handler runs for long."""
        if not self._options.keeps_claims:
            return
        try:
            while not await self._stop.wait(self._options.in_hand_s / 2):
                await self._retry_keep(self._in_hand.keep_long_held)
        except Stopped:
            self._log.info("stopped during an outage")

    async def sweep_once(self) -> int:
        """Deliver failed entries, and stale ones of other consumers; return their number."""
        options, delivered = self._options, 0
        await self._acks.flush()
        own, stale = await self._retry_sweep(
            lambda: self._member.waiting(
                options.retry_min_ms, options.reclaim_idle_ms, options.waiting_max
            )
        )
        self._is_crowded = len(own) >= options.waiting_max
        if self._delivery.most_taken_over > 1:
            left = [one for one in own if not one.deliveries]
            delivered += await self._take_over(left, options.retry_min_ms)
            once = [one for one in stale if one.deliveries <= 1]
            delivered += await self._take_over(once, options.reclaim_idle_ms)
            own = [one for one in own if one.deliveries]
            stale = [one for one in stale if one.deliveries > 1]
        for waiting, idle_ms in [(entry, self._pause_ms(entry)) for entry in own] + [
            (entry, options.reclaim_idle_ms) for entry in stale
        ]:
            if waiting.idle_ms >= idle_ms and not self._delivery.is_held(waiting.stream_id):
                async with self._delivery.turn():
                    if self._stop:
                        return delivered
                    await self._redeliver(waiting, idle_ms)
                    delivered += 1
        return delivered

    async def _take_over(self, waiting: Sequence[Waiting], idle_ms: int) -> int:
        """Deliver what was left for later, or to dead consumers once, many together; count them."""
        most = self._delivery.most_taken_over
        taken = 0
        for at in range(0, len(waiting), most):
            if self._stop:
                break
            some = [
                one for one in waiting[at : at + most] if not self._delivery.is_held(one.stream_id)
            ]
            if not some:
                continue
            entries = await self._retry_sweep(partial(self._member.take_all, some, idle_ms))
            self._in_hand.add(entries)
            await self._deliver(entries, time.monotonic(), self._retry_sweep)
            taken += len(entries)
        return taken

    async def _redeliver(self, waiting: Waiting, idle_ms: int) -> None:
        # Claimed singly, just before the handler: an event that kills the process affects no other.
        if self._delivery.is_held(waiting.stream_id):
            return
        entry = await self._retry_sweep(lambda: self._member.take(waiting, idle_ms))
        if entry is None:
            if not await self._retry_sweep(lambda: self._member.exists(waiting.stream_id)):
                self._log.error("event lost to trimming", stream_id=waiting.stream_id)
            return
        if self._stop:
            await self._release([waiting.stream_id], self._retry_sweep)
            return
        self._in_hand.add([entry])
        try:
            for event in await self._decoded([entry]):
                await self._deliver_again(event)
        finally:
            self._in_hand.discard([entry.stream_id])

    async def _deliver_again(self, event: Event) -> None:
        lookup = await self._delivery.look_up([event], self._retry_sweep)
        most = self._options.max_deliveries
        if event.event_id not in lookup.handled and event.deliveries > most:
            reason = f"not handled in {event.deliveries - 1} deliveries"
            await self._acks.park(event, reason)
        else:
            await self._delivery.deliver_one(event, lookup)

    async def _release(self, stream_ids: Sequence[str], retry: RetryUntilStopped) -> None:
        await retry(lambda: self._member.release(stream_ids, self._options.reclaim_idle_ms))

    async def _decoded(self, entries: Iterable[Entry]) -> list[Event]:
        """Return the events in entries; those that are corrupt are parked."""
        events: list[Event] = []
        stream, shard = self._member.keys.stream, self._member.keys.shard
        for entry in entries:
            try:
                events.append(decode_event(entry, stream, shard))
            except Corrupt as error:
                await self._acks.park(entry, str(error))
                self._in_hand.discard([entry.stream_id])
        return events

    async def _leave(self) -> None:
        """Take a name that will not come back out of the group; raise `Stopped`."""
        if not self._options.keeps_name:
            await self._retry_read(self._member.forget)

    async def _recover(self, fault: Fault) -> bool:
        recreated = await self._member.recover(fault)
        if recreated:
            self._log.warning("consumer group recreated")
        return recreated

    def _pause_ms(self, waiting: Waiting) -> int:
        least, most = self._options.retry_min_ms, self._options.retry_max_ms
        return delay_ms(waiting.deliveries, least, most, "none", _RNG)
