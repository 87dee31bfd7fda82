"""The slow loop of a shard: trimming, retention, clocks set back, a check of all state.

One at a time per shard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.publishing.list_trimmer import ListTrimmer
from galaxy_notify.publishing.scrubber import Scrubber
from galaxy_notify.publishing.stream_trimmer import StreamTrimmer
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.dead_retention import DeadRules
from galaxy_notify.redis_state.upkeep import LOCK_MS, Upkeep
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_EVERY_S: Final = 1.0
_AT_LEAST_S: Final = 0.05
_OUTAGE_PAUSE_S: Final = 5.0
_QUIET_S: Final = 2.0
_META_EVERY_S: Final = 10.0
_LAPSE_EVERY_S: Final = 5.0
_FORGET_EVERY_S: Final = 600.0
# While routes move a page of the check goes with each pass; an idle shard is hardly looked at.
_PAGE_AT_WORK_S: Final = 1.0
_PAGE_EVERY_S: Final = 10.0
_ROUND_EVERY_S: Final = 600.0
_FIRST_ROUND_S: Final = 120.0


class Rules(NamedTuple):
    """How long dead letters are kept, and when a group that was not seen stops to count."""

    dead: DeadRules
    group_idle_ms: int


class Neighbour(NamedTuple):
    """The worker beside the janitor.

    *trimmed* is called when entries went, because claiming may have waited for it; while
    *redis_is_away* the worker's tries are enough.
    """

    trimmed: Callable[[], None]
    redis_is_away: Callable[[], bool]


class Janitor:
    """Keeps one shard tidy; what it deletes is counted and logged."""

    def __init__(
        self,
        upkeep: Upkeep,
        worker_id: str,
        channels: Sequence[str],
        rules: Rules,
        telemetry: Telemetry,
        neighbour: Neighbour,
    ) -> None:
        self.rules = rules
        self._upkeep = upkeep
        self._worker_id = worker_id
        self._channels = channels
        self._telemetry = telemetry
        self._neighbour = neighbour
        self._log = get_logger("janitor", worker=worker_id, shard=upkeep.keys.shard)
        self.scrubber = Scrubber(upkeep, worker_id, self._log, telemetry)
        self.list_trimmer = ListTrimmer(upkeep, self._log)
        self._stream_trimmer = StreamTrimmer(upkeep, self._log)
        self._outage = EdgeLog(self._log, "janitor interrupted", "janitor goes on")
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._pause_s = _EVERY_S
        self._is_long = False
        self._locked_until = 0.0
        self._due = dict.fromkeys(("meta", "lapse", "forget"), 0.0)
        self._page_due = monotonic() + _FIRST_ROUND_S
        self._worked = False

    async def run(self) -> None:
        """Tidy up every two seconds; each second, or at once, where a stream grows too long."""
        while not self._stop.is_set():
            if self._neighbour.redis_is_away():
                self._begin_anew()
                await self._rest()
                continue
            try:
                await self.run_once()
                self._outage.up()
                self._pause_s = _EVERY_S if self._is_long else _QUIET_S
            except RedisFault as error:
                self._outage.down(error.fault.code, error.fault.text)
                if error.fault.remedy is Remedy.RESOLVE:
                    await self._upkeep.refresh_primary()
                self._begin_anew()
                # The worker tries often enough to notice that Redis is back.
                self._pause_s = _OUTAGE_PAUSE_S
                self._hurry.clear()
            await self._rest()
        try:
            await self._upkeep.drop_lock(self._worker_id)
        except RedisFault as error:
            self._log.debug("janitor lock left to lapse", code=error.fault.code)

    async def run_once(self) -> bool:
        """Tidy up once if no other worker does; tell whether it was our turn."""
        if not await self._lock():
            self.scrubber.drop()
            return False
        await self._trim()
        for channel in self._channels:
            await self._expire_dead(channel)
        if self._is_due("meta", _META_EVERY_S):
            await self._upkeep.assert_meta()
        if self._is_due("lapse", _LAPSE_EVERY_S):
            await self._lapse()
        if self._is_due("forget", _FORGET_EVERY_S):
            await self._forget()
        if await self.list_trimmer.trim():
            self.hurry()
        await self._scrub()
        return True

    def saw_work(self) -> None:
        """Note that routes move, so that a little more work is none to speak of."""
        self._worked = True
        self.list_trimmer.saw_work()

    def hurry(self) -> None:
        """Tidy up now: a stream has grown too long."""
        self._hurry.set()

    def stop(self) -> None:
        """End after the step in hand."""
        self._stop.set()
        self._hurry.set()

    async def _lock(self) -> bool:
        """Be the shard's janitor; an idle shard is not asked for it every second."""
        if monotonic() < self._locked_until:
            return True
        if not await self._upkeep.take_lock(self._worker_id):
            return False
        self._locked_until = monotonic() + LOCK_MS / 2000
        return True

    def _is_due(self, chore: str, every_s: float) -> bool:
        if monotonic() < self._due[chore]:
            return False
        self._due[chore] = monotonic() + every_s
        return True

    async def _scrub(self) -> None:
        """Look at a page of the state, if it is time."""
        sooner = _PAGE_EVERY_S - _PAGE_AT_WORK_S if self._worked else 0.0
        if monotonic() + sooner * self.scrubber.is_at_work < self._page_due:
            return
        self._worked = False
        await self.scrubber.page()
        every = _PAGE_EVERY_S if self.scrubber.is_at_work else _ROUND_EVERY_S
        self._page_due = monotonic() + every

    def _begin_anew(self) -> None:
        """Check nothing soon after an outage, and nothing of what was there before it.

        The deployment itself is looked at first: the server may be back without data.
        """
        self._due["meta"] = self._locked_until = 0.0
        self.scrubber.drop()
        self._page_due = monotonic() + _FIRST_ROUND_S

    async def _lapse(self) -> None:
        for channel in self._channels:
            if shortened := await self._upkeep.lapse(channel):
                fields = {"channel": channel, "leases": shortened}
                self._log.warning("leases shortened after clock step", **fields)

    async def _trim(self) -> None:
        trimmed = await self._stream_trimmer.trim(self.rules.group_idle_ms)
        self._is_long = trimmed.is_long
        if trimmed.gone:
            self._neighbour.trimmed()
        if trimmed.more:
            self.hurry()

    async def _forget(self) -> None:
        """Forget workers and consumers that ended long ago."""
        await self._upkeep.forget_workers()
        if await self._upkeep.forget_consumers():
            self._due["forget"] = 0.0

    async def _expire_dead(self, channel: str) -> None:
        if not (self.rules.dead.dead_ms or self.rules.dead.dead_max):
            return
        expired = await self._upkeep.expire_dead(channel, self.rules.dead)
        if gone := expired.aged + expired.excess:
            self._telemetry.routes("purged", channel, gone)
            counts = {"aged": expired.aged, "excess": expired.excess}
            self._log.info("dead letters expired", channel=channel, **counts)
        if expired.more:
            self.hurry()

    async def _rest(self) -> None:
        if self._hurry.is_set():
            self._hurry.clear()
            await asyncio.sleep(_AT_LEAST_S)
            return
        hurried = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({hurried}, timeout=self._pause_s)
        hurried.cancel()
