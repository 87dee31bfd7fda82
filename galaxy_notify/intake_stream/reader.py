"""Reads the intent stream: each intent in it becomes one notification."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from galaxy_notify.intake.notifier import AsyncNotifier
from galaxy_notify.intake_stream.batch import EntryBatch, read_batch
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.faults import Fault, RedisFault
from galaxy_notify.redis_client.retries import OutageLog, RetryPolicy, Stagger
from galaxy_notify.redis_client.stream_member import Entry, Waiting
from galaxy_notify.redis_state.intents import Ended, IntentMember, Keeping, Reject
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.telemetry.summary import Summary

if TYPE_CHECKING:
    from galaxy_notify.settings.sections import IntakeSettings

_BLOCK_MS: Final = 500
_RETRIES: Final = RetryPolicy(least_pause_s=1.0)
_LONGEST_SWEEP_S: Final = 1.0
_FORGET_EVERY_S: Final = 60.0
#: Pending entries that are tried one by one before new ones are read.
_PER_SWEEP: Final = 50
#: With this many postponed entries no new ones are read.
_MOST_POSTPONED: Final = 1000
#: After a batch of more bytes, entries are read one by one until they are small again.
_LARGE_BATCH: Final = 8 << 20
#: An entry whose read times out this many times is left for a later attempt.
_MOST_TIMEOUTS: Final = 3


class IntentReader:
    """One reader of the group: reads, accepts, and then acknowledges entries.

    Pending entries of a dead reader are tried one by one, so that an intent that kills its reader
    affects no other. After ``max_deliveries`` attempts it is rejected unread.
    """

    def __init__(
        self,
        member: IntentMember,
        notifier: AsyncNotifier,
        settings: IntakeSettings,
        telemetry: Telemetry,
        stop: StopFlag,
        at_start: Callable[[Fault], None] | None = None,
    ) -> None:
        """Prepare; *at_start* may raise for a fault before the first answer of Redis."""
        self._member = member
        self._notifier = notifier
        self._settings = settings
        self._telemetry = telemetry
        self._stop = stop
        self._at_start = at_start
        self._log = get_logger("intake", group=member.group, reader=member.consumer)
        self._retry = RetryUntilStopped(
            stop, OutageLog(EdgeLog(self._log)), Stagger(), self._recover, _RETRIES
        )
        self._blocked = EdgeLog(self._log, "intents blocked", "intents no longer blocked")
        self._sums = Summary()
        self._postponed: dict[str, float] = {}
        self._read_size = 1
        self._is_read_lost = False
        self._sweep_at = self._forget_at = 0.0

    async def run(self) -> None:
        """Read until stopped; the batch in flight is finished first."""
        try:
            await self._retry(self._member.join)
            self._at_start = None
            self._log.info("intake working", stream=self._member.stream)
            while not self._stop:
                self._stop.beat()
                self._log_sums()
                await self.run_once()
        except Stopped:
            self._log.info("stopped during an outage")
        finally:
            self._log_sums(at_end=True)

    async def run_once(self) -> int:
        """Retry pending entries, then read once; return how many new entries were read."""
        if self._is_read_lost or monotonic() >= self._sweep_at:
            await self._sweep()
        if len(self._postponed) >= _MOST_POSTPONED:
            await self._stop.wait(_LONGEST_SWEEP_S)
            return 0
        entries = await self._retry(self._read)
        if entries:
            self._telemetry.intents("read", len(entries))
            batch = await self._accept(entries)
            if batch.size > _LARGE_BATCH:
                self._read_size = 1
            elif len(entries) == self._read_size:
                self._read_size = min(2 * self._read_size, self._settings.batch_size)
        return len(entries)

    async def _read(self) -> list[Entry]:
        try:
            return await self._member.read(self._read_size, _BLOCK_MS)
        except RedisFault:
            # The entries may be pending for this reader although the reply was lost.
            self._is_read_lost, self._read_size = True, 1
            raise

    async def _accept(self, entries: Sequence[Entry]) -> EntryBatch:
        """Accept entries, then acknowledge or reject each."""
        batch = await read_batch(entries, self._settings.max_bytes)
        async with self._keeping_claims(batch.stream_ids):
            settled = await self._retry(lambda: self._accept_and_settle(batch))
            await self._postpone(batch, settled)
        self._count_statuses(batch)
        return batch

    async def _accept_and_settle(self, batch: EntryBatch) -> Ended:
        if batch.was_sent:
            await self._member.probe()
        await batch.accept(self._notifier)
        try:
            return await self._settle(batch.admitted, batch.rejects)
        except RedisFault:
            batch.accept_again()
            raise

    async def _settle(self, admitted: Sequence[str], rejects: Sequence[Reject]) -> Ended:
        if not admitted and not rejects:
            return Ended(0, {})
        keeping = Keeping(self._settings.max_bytes, self._settings.rejects_max)
        settled = await self._member.settle(admitted, rejects, keeping)
        if settled.fallen:
            self._log.warning("rejects dropped", count=settled.fallen)
        codes = Counter(
            reject.code for reject in rejects if reject.stream_id not in settled.unsettled
        )
        for code, count in codes.items():
            self._telemetry.refused(code, count)
            self._telemetry.intents("rejected", count)
        if codes:
            first = rejects[0]
            self._log.warning(
                "intents rejected",
                **codes,
                entry_id=first.stream_id,
                reason=f"{first.field}: {first.message}".removeprefix(": "),
            )
        return settled

    async def _postpone(self, batch: EntryBatch, settled: Ended) -> None:
        """Postpone the entries that cannot be settled now."""
        postponed = batch.postponed + [e for e in batch.entries if e.stream_id in settled.unsettled]
        for entry in postponed:
            await self._retry(partial(self._member.put_off, entry))
            self._postponed[entry.stream_id] = monotonic()
        faults = (batch.postponed_by, *(error.fault for error in settled.unsettled.values()))
        for fault in faults:
            if fault is not None:
                self._blocked.down(fault.code, fault.text)
        for stream_id in {*batch.stream_ids} - {entry.stream_id for entry in postponed}:
            self._postponed.pop(stream_id, None)
        if not self._postponed:
            self._blocked.up()

    def _count_statuses(self, batch: EntryBatch) -> None:
        by_status: Counter[str] = Counter()
        for (producer, status), count in batch.statuses().items():
            self._telemetry.intents_of(producer, status, count)
            by_status[status] += count
        self._telemetry.accepted(by_status["accepted"], batch.routes(), by_status["duplicate"])
        self._sums.add({"read": len(batch.entries), **by_status})
        self._log_sums()

    def _log_sums(self, *, at_end: bool = False) -> None:
        if self._sums.is_due(at_end=at_end):
            self._log.info("intents accepted", **self._sums.take())

    async def _sweep(self) -> None:
        """Retry pending entries, one by one."""
        idle_ms, is_read_lost, tried = self._settings.claim_idle_ms, self._is_read_lost, 0
        own_idle_ms = 0 if is_read_lost else idle_ms
        own, stale = await self._retry(
            lambda: self._member.waiting(own_idle_ms, idle_ms, _PER_SWEEP)
        )
        self._is_read_lost = False
        for waiting in [*own, *stale]:
            if self._stop:
                return
            if waiting.stream_id not in self._postponed or waiting.idle_ms >= idle_ms:
                await self._redeliver(waiting)
                tried += 1
        # A full page of own entries may be followed by another.
        self._is_read_lost |= is_read_lost and tried > 0 and len(own) == _PER_SWEEP
        await self._forget()
        is_full = _PER_SWEEP in (len(own), len(stale))
        pause_s = 0.0 if is_full else min(_LONGEST_SWEEP_S, idle_ms / 4000)
        self._sweep_at = monotonic() + pause_s

    async def _redeliver(self, waiting: Waiting) -> None:
        tried = waiting.deliveries
        if tried >= self._settings.max_deliveries:
            message = f"delivered {tried} times, each time its reader stopped before it was done"
            item = Reject(waiting.stream_id, "abandoned", "", message, tried)
            await self._retry(lambda: self._settle([], [item]))
            return
        if not await self._retry(lambda: self._member.claim(waiting, self._settings.claim_idle_ms)):
            return
        entries = await self._begin(waiting)
        if entries:
            self._telemetry.intents("reclaimed")
            await self._accept(entries)

    async def _begin(self, waiting: Waiting) -> list[Entry]:
        """Return the entry; an empty list if it was trimmed or cannot be read in time."""
        timeouts = 0

        async def begin() -> list[Entry] | None:
            nonlocal timeouts
            try:
                entry = await self._member.begin(waiting)
            except RedisFault as error:
                timeouts += error.fault.code == "timeout"
                if timeouts < _MOST_TIMEOUTS:
                    raise
                await self._member.probe()
                return None
            return [entry] if entry else []

        entries = await self._retry(begin)
        if entries == []:
            self._log.warning("intent lost to trimming", entry_id=waiting.stream_id)
        return entries or []

    async def _forget(self) -> None:
        if monotonic() >= self._forget_at:
            self._forget_at = monotonic() + _FORGET_EVERY_S
            # Forgetting consumers can wait; the next call reports the same fault.
            with suppress(RedisFault):
                if await self._member.forget():
                    self._forget_at = 0.0
            oldest = monotonic() - 5 * self._settings.claim_idle_ms / 1000
            self._postponed = {name: at for name, at in self._postponed.items() if at > oldest}

    @asynccontextmanager
    async def _keeping_claims(self, stream_ids: Sequence[str]) -> AsyncIterator[None]:
        """Keep the claims on entries while the block runs, so that no other reader takes them."""
        done = asyncio.Event()
        keeping = asyncio.create_task(self._renew_claims(stream_ids, done))
        try:
            yield
        finally:
            done.set()
            await keeping

    async def _renew_claims(self, stream_ids: Sequence[str], done: asyncio.Event) -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.claim_idle_ms / 3000):
                    await done.wait()
                return
            with suppress(RedisFault):
                await self._member.keep(stream_ids)

    async def _recover(self, fault: Fault) -> bool:
        self._telemetry.redis_error(fault.code)
        if self._at_start is not None:
            self._at_start(fault)
        recreated = await self._member.recover(fault)
        if recreated:
            self._log.warning("consumer group recreated")
        return recreated
