"""The sweep: counts that Redis has not taken, or has lost, are published from Postgres.

A process that dies behind its COMMIT publishes nothing, and Redis may be away or lose what it was
given. So one process of the deployment looks at what changed since the last sweep, every ten
seconds; at all users once a day; and at all marks where the counts are of another epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.renewal import FIRST_PAGE, renew_page
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


class _Renewing(NamedTuple):
    """Where the look at all marks goes on, and in which epoch it began."""

    begin: str
    epoch: int


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
        #: How far the look at all marks has come; None while it is not under way.
        self._renewing: _Renewing | None = None
        #: Behind which user the look at all users goes on.
        self._comparing: str | None = None
        self._log = get_logger("feed")
        #: Users whose counts this turn has published; one line of the log for all of its pages.
        self._late = 0
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
        """Publish what changed; then, where it is due, some of all marks or users, *until* then."""
        try:
            if not await self._sweeps.lease():
                self._renewing = self._comparing = None
                return
            swept = await self._sweep_changes()
            while not self._is_done:
                swept = await self._go_on(swept)
                await self._pause()
                # At least one page of each turn, however long the changes took.
                if monotonic() > until:
                    break
        except RedisFault as error:
            self._edges.down(error.fault.code, error.fault.reason)
            if error.fault.remedy is Remedy.RESOLVE:
                await refresh_primary(self._marks.client)
        else:
            self._edges.up()
        finally:
            self._report()

    def _report(self) -> None:
        if self._late:
            self._log.info("counts published late", users=self._late)
        self._late = 0

    @property
    def _is_done(self) -> bool:
        return self._renewing is None and self._comparing is None

    async def _sweep_changes(self) -> Swept:
        """Publish the counts that changed since the last sweep; raise `RedisFault`."""
        old = await self._sweeps.read()
        # Who has just committed still publishes by itself.
        now_ms = await self._postgres.answered(self._store.now_ms) - _SETTLING_MS
        # Redis has lost what it knew, or this is another server, with another clock.
        is_known = 0 < old.changes_ms <= now_ms
        since_ms = old.changes_ms if is_known else now_ms
        swept = Swept(now_ms, old.all_ms if is_known else 0, old.epoch)
        if not is_known:
            # With the progress went marks, also of users who were looked at already.
            self._renewing = self._comparing = None
        await self._plan(swept)
        after, is_last = "", False
        while not is_last:
            page = await self._changed(since_ms - self._overlap_ms, after)
            await self._publish([one for one in page if one.changed_at_ms <= now_ms])
            is_last = len(page) < _CHANGED
            if not is_last:
                after = page[-1].user
                await self._pause()
        await self._write(old, swept)
        return swept

    async def _plan(self, swept: Swept) -> None:
        """Begin what is due, unless it is under way."""
        epoch = await self._postgres.answered(self._store.epoch)
        # The first pages of one that is under way may be of the epoch before.
        if epoch != swept.epoch and (self._renewing is None or self._renewing.epoch != epoch):
            self._renewing = _Renewing(FIRST_PAGE, epoch)
        if self._comparing is None and not 0 <= swept.changes_ms - swept.all_ms < _ALL_MS:
            self._comparing = ""

    async def _go_on(self, swept: Swept) -> Swept:
        """Publish the next page of marks or users, and return how far that is."""
        done = swept
        if self._renewing is not None:
            done = await self._renew(self._renewing, swept)
        elif self._comparing is not None:
            done = await self._compare(self._comparing, swept)
        if done != swept:
            await self._write(swept, done)
        return done

    async def _write(self, before: Swept, after: Swept) -> None:
        """Store how far the sweep has come, unless Redis has lost how far that was *before*.

        Then it has lost marks too, and the next turn begins with all of them.
        """
        if await self._sweeps.read() == before:
            await self._sweeps.write(after)

    async def _renew(self, at: _Renewing, swept: Swept) -> Swept:
        """Renew a page of the marks that are of another epoch."""
        found = await self._postgres.answered(
            lambda: renew_page(self._store, self._marks, at.begin)
        )
        self._late += found.users
        self._renewing = at._replace(begin=found.following) if found.following else None
        # Where another epoch has begun since, the next turn begins again.
        return swept if self._renewing else swept._replace(epoch=at.epoch)

    async def _compare(self, after: str, swept: Swept) -> Swept:
        """Publish the counts of the next of all users.

        A mark that expired since its counts changed is made again when its user connects.
        """
        page = await self._postgres.answered(lambda: self._store.all_counts(after, _ALL))
        since_ms = swept.changes_ms - KEEP_MS
        await self._publish([one for one in page if one.changed_at_ms >= since_ms])
        self._comparing = page[-1].user if len(page) == _ALL else None
        return swept if self._comparing else swept._replace(all_ms=swept.changes_ms)

    async def _changed(self, since_ms: int, after: str) -> Sequence[Changed]:
        return await self._postgres.answered(
            lambda: self._store.changed_since(since_ms, after, _CHANGED)
        )

    async def _publish(self, page: Sequence[Changed]) -> None:
        """Publish counts; raise `RedisFault` where some were refused."""
        published = await self._marks.publish({one.user: one.counts for one in page})
        self._late += len(published.marked)
        if published.fault is not None:
            raise RedisFault(published.fault)

    async def _pause(self) -> None:
        """Leave Postgres and Redis to others for a moment, and keep the lease."""
        if await self._stop.wait(_PAUSE_S):
            raise Stopped
        await self._sweeps.lease()
