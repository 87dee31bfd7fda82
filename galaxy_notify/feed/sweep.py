"""The sweep: counts that Redis has not taken, or has lost, are published from Postgres.

A process that dies behind its COMMIT publishes nothing, and Redis may be away or lose what it was
given. So one process of the deployment looks at what changed since the last sweep, every ten
seconds, and at all users once a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.reconciling import Changed
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_state.count_sweeps import CountSweeps, Swept
from galaxy_notify.redis_state.unread import KEEP_MS
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

PERIOD_S: Final = 10.0
#: All users are looked at this often.
_ALL_MS: Final = 86_400_000
_SETTLING_MS: Final = 1000
#: Users of one query. Each page of changes reads all that changed, so there are few of them.
_CHANGED, _ALL = 5000, 500
#: Between two pages: Postgres and Redis have other work.
_PAUSE_S: Final = 0.02


class _Walk(NamedTuple):
    """A look at all users: behind which one it goes on, and since when their counts matter."""

    after: str
    since_ms: int


class CountsSweep:
    """Publishes what Redis lacks, for as long as `run` runs.

    Several processes may run one; the lease lets one of them work. Postgres that is away is waited
    for; while Redis is away or refuses marks, the same changes are found again by the next turn.
    """

    def __init__(
        self,
        store: FeedStore,
        marks: Marks,
        sweeps: CountSweeps,
        postgres: PostgresOutage,
        stop: StopFlag,
        statement_timeout_ms: int,
    ) -> None:
        """Prepare; `run` ends when *stop* is set."""
        self._store = store
        self._marks = marks
        self._sweeps = sweeps
        self._postgres = postgres
        self._stop = stop
        # What a transaction has changed is seen only once it is committed.
        self._overlap_ms = 2 * statement_timeout_ms
        self._walk: _Walk | None = None
        self._log = get_logger("feed")
        self._edges = EdgeLog(self._log, "counts not swept", "counts swept again")

    async def run(self) -> None:
        """Sweep until the stop; an outage ends a turn, and never the run."""
        with suppress(Stopped):
            while not self._stop:
                began = monotonic()
                await self._turn(began + PERIOD_S)
                await self._stop.wait(max(0.0, began + PERIOD_S - monotonic()))
        try:
            await self._sweeps.end_lease()
        except RedisFault as error:
            self._log.info("lease of the sweep left to expire", reason=error.fault.reason)

    async def _turn(self, until: float) -> None:
        """Publish what changed; then, where it is due, some of all users, *until* that time."""
        try:
            if not await self._sweeps.lease():
                self._walk = None
                return
            swept = await self._sweep_changes()
            while self._walk is not None and monotonic() < until:
                swept = await self._go_on(self._walk, swept)
                await self._pause()
        except RedisFault as error:
            self._edges.down(error.fault.code, error.fault.reason)
            if error.fault.remedy is Remedy.RESOLVE:
                await refresh_primary(self._marks.client)
        else:
            self._edges.up()

    async def _sweep_changes(self) -> Swept:
        """Publish the counts that changed since the last sweep; raise `RedisFault`."""
        old = await self._sweeps.read()
        # Who has just committed still publishes by itself.
        now_ms = await self._postgres.answered(self._store.now_ms) - _SETTLING_MS
        epoch = await self._postgres.answered(self._store.epoch)
        # Redis has lost what it knew, or this is another server, with another clock.
        since_ms = old.changes_ms if 0 < old.changes_ms <= now_ms else now_ms
        is_whole = since_ms == old.changes_ms and epoch == old.epoch
        swept = Swept(now_ms, old.all_ms if is_whole else 0, epoch)
        if self._walk is None and not 0 <= now_ms - swept.all_ms < _ALL_MS:
            # A mark that expired since is made again when its user connects. After a restoration
            # those that did not expire are wrong.
            self._walk = _Walk("", now_ms - KEEP_MS if epoch == old.epoch else 0)
        after, is_last = "", False
        while not is_last:
            page = await self._changed(since_ms - self._overlap_ms, after)
            await self._publish([one for one in page if one.changed_at_ms <= now_ms])
            is_last = len(page) < _CHANGED
            if not is_last:
                after = page[-1].user
                await self._pause()
        await self._sweeps.write(swept)
        return swept

    async def _go_on(self, walk: _Walk, swept: Swept) -> Swept:
        """Publish the counts of the next of all users; raise `RedisFault`."""
        page = await self._postgres.answered(lambda: self._store.all_counts(walk.after, _ALL))
        await self._publish([one for one in page if one.changed_at_ms >= walk.since_ms])
        if len(page) == _ALL:
            self._walk = walk._replace(after=page[-1].user)
            return swept
        self._walk = None
        swept = swept._replace(all_ms=swept.changes_ms)
        await self._sweeps.write(swept)
        return swept

    async def _changed(self, since_ms: int, after: str) -> Sequence[Changed]:
        return await self._postgres.answered(
            lambda: self._store.changed_since(since_ms, after, _CHANGED)
        )

    async def _publish(self, page: Sequence[Changed]) -> None:
        """Publish counts; raise `RedisFault` where some were refused."""
        published = await self._marks.publish({one.user: one.counts for one in page})
        if published.marked:
            self._log.info("counts published late", users=len(published.marked))
        if published.fault is not None:
            raise RedisFault(published.fault)

    async def _pause(self) -> None:
        """Leave Postgres and Redis to others for a moment, and keep the lease."""
        if await self._stop.wait(_PAUSE_S):
            raise Stopped
        await self._sweeps.lease()
