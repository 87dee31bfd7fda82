"""The janitor of a shard: trimming, retention, leases after a clock step, a check of all state.

One process at a time is the janitor of a shard.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.publishing.feed_stand_in import FeedStandIn
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.publishing.state_check import StateCheck
from galaxy_notify.publishing.trimmers import AcceptedListTrimmer, StreamTrimmer
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.retries import OutageLog, Retry, RetryPolicy, Stagger
from galaxy_notify.redis_state.dead_retention import DeadRules
from galaxy_notify.redis_state.janitor_store import LOCK_MS, JanitorStore
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_EVERY_S: Final = 1.0
_AT_LEAST_S: Final = 0.05
_QUIET_S: Final = 2.0
_META_EVERY_S: Final = 10.0
_LEASES_EVERY_S: Final = 5.0
_FORGET_EVERY_S: Final = 600.0
# The attempts of the worker are enough to notice that Redis is back.
_RETRY: Final = RetryPolicy(first_pause_s=5.0, least_pause_s=5.0)


class JanitorPass(NamedTuple):
    """The result of one pass; all counts are 0 while another worker is the janitor.

    *is_long*: the stream may soon be longer than its limit.
    """

    is_janitor: bool
    trimmed: int = 0
    expired: int = 0
    is_long: bool = False


class Janitor:
    """Removes what a shard no longer needs; every removal is counted and logged."""

    def __init__(self, store: JanitorStore, state: ShardState) -> None:
        self._store = store
        self._state = state
        self._worker_id = state.publisher.policy.worker_id
        self._log = get_logger("janitor", worker=self._worker_id, shard=state.keys.shard)
        self.state_check = StateCheck(store, state, self._log)
        self.list_trimmer = AcceptedListTrimmer(store, state, self._log)
        self._feed_stand_in = FeedStandIn(store, state, self._log)
        self._stream_trimmer = StreamTrimmer(store, self._log)
        edges = EdgeLog(self._log, "janitor interrupted", "janitor resumed")
        self._retry = Retry(OutageLog(edges), Stagger(), _RETRY)
        self._locked_until = 0.0
        self._due = dict.fromkeys(("meta", "leases", "forget"), 0.0)

    async def run(self) -> None:
        """Make passes until stopped: every two seconds, every second while the stream is long."""
        pause_s = _EVERY_S
        while not self._state.stopping:
            try:
                # While Redis is away, the attempts of the worker are enough.
                if self._state.health.redis_is_away:
                    self._start_over()
                else:
                    result = await self.run_once()
                    self._retry.recovered()
                    pause_s = _EVERY_S if result.is_long else _QUIET_S
            except RedisFault as error:
                self._retry.failed(error.fault)
                if error.fault.remedy is Remedy.RESOLVE:
                    await self._store.refresh_primary()
                self._start_over()
                pause_s = self._retry.left_s()
                self._state.tidy_now.clear()
            await self._rest(pause_s)
        try:
            await self._store.drop_lock(self._worker_id)
        except RedisFault as error:
            self._log.debug("janitor lock left to expire", code=error.fault.code)

    async def run_once(self) -> JanitorPass:
        """Make one pass, unless another worker is the janitor. Raises `RedisFault`."""
        if not await self._lock():
            self.state_check.drop_round()
            return JanitorPass(is_janitor=False)
        # What leaves the feed's group can be trimmed at once.
        moves_more = await self._feed_stand_in.run_once()
        trimmed = await self._stream_trimmer.trim(self._settings.gateway.group_idle_ms)
        if trimmed.gone:
            # Claiming may have waited for a shorter stream.
            self._state.claim_now()
        expired = sum([await self._expire_dead(channel) for channel in self._state.channels])
        if self._is_due("meta", _META_EVERY_S):
            await self._store.assert_meta()
        if self._is_due("leases", _LEASES_EVERY_S):
            await self._shorten_leases()
        if self._is_due("forget", _FORGET_EVERY_S):
            await self._forget()
        if await self.list_trimmer.trim() or trimmed.more or moves_more:
            self._state.tidy_now.set()
        await self.state_check.page_if_due()
        return JanitorPass(True, trimmed.gone, expired, trimmed.is_long)

    @property
    def _settings(self) -> Settings:
        return self._state.publisher.settings

    async def _lock(self) -> bool:
        """Return whether this worker is the janitor; the lock is renewed after half of its time."""
        if monotonic() < self._locked_until:
            return True
        if not await self._store.take_lock(self._worker_id):
            return False
        self._locked_until = monotonic() + LOCK_MS / 2000
        return True

    def _is_due(self, chore: str, every_s: float) -> bool:
        if monotonic() < self._due[chore]:
            return False
        self._due[chore] = monotonic() + every_s
        return True

    def _start_over(self) -> None:
        """Begin with the metadata of the deployment: the server may be back without data."""
        self._due["meta"] = self._locked_until = 0.0
        self.state_check.start_over()

    async def _shorten_leases(self) -> None:
        for channel in self._state.channels:
            if shortened := await self._store.shorten_leases(channel):
                fields = {"channel": channel, "leases": shortened}
                self._log.warning("leases shortened after clock step", **fields)

    async def _forget(self) -> None:
        """Forget workers and consumers that ended long ago."""
        await self._store.forget_workers()
        if await self._store.forget_consumers():
            self._due["forget"] = 0.0

    async def _expire_dead(self, channel: str) -> int:
        retention = self._settings.retention
        if not (retention.dead_ms or retention.dead_max):
            return 0
        expired = await self._store.expire_dead(
            channel, DeadRules(retention.dead_ms, retention.dead_max)
        )
        if removed := expired.aged + expired.excess:
            self._state.publisher.telemetry.routes("purged", channel, removed)
            counts = {"aged": expired.aged, "excess": expired.excess}
            self._log.info("dead letters expired", channel=channel, **counts)
        if expired.more:
            self._state.tidy_now.set()
        return removed

    async def _rest(self, pause_s: float) -> None:
        if self._state.stopping:
            # What a stop set may be cleared by a pass that failed meanwhile.
            return
        tidy_now = self._state.tidy_now
        if tidy_now.is_set():
            tidy_now.clear()
            await asyncio.sleep(_AT_LEAST_S)
            return
        waiting = asyncio.ensure_future(tidy_now.wait())
        await asyncio.wait({waiting}, timeout=pause_s)
        waiting.cancel()
