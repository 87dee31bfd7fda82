"""Retention: what has been in the feed for longer than ``feed.retention_days`` is deleted."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from galaxy_notify.errors import ConfigurationError, FeedUnavailable
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped
from galaxy_notify.telemetry.logs import get_logger

_PERIOD_S: Final = 3600.0
#: After a pass that an outage ended.
_AGAIN_S: Final = 5.0
#: Between two statements of 500 rows: Postgres has other work.
_PAUSE_S: Final = 0.02


class FeedRetention:
    """Deletes old items once an hour, for as long as `run` runs.

    Several processes may run one, also at the same time: each item is deleted and counted once.
    """

    def __init__(
        self, store: FeedStore, marks: Marks, postgres: PostgresOutage, stop: StopFlag, days: int
    ) -> None:
        """Prepare; `run` ends when *stop* is set. With 0 *days* everything is kept."""
        self._store = store
        self._marks = marks
        self._postgres = postgres
        self._stop = stop
        self._days = days
        self._log = get_logger("feed")

    async def run(self) -> None:
        """Delete until the stop; Postgres that is away is waited for."""
        with suppress(Stopped):
            while self._days and not self._stop:
                # Others wait behind this call in an outage: it is a short one.
                await self._postgres.answered(self._store.now_ms)
                await self._stop.wait(await self._pass())

    async def _pass(self) -> float:
        """Delete all that is too old; return when to look again, in seconds."""
        rows = 0
        try:
            async for deleted in self._store.delete_older_than(self._days):
                rows += deleted.rows
                # Counts that Redis does not take are found by the sweep.
                await self._marks.publish(deleted.counts)
                if await self._stop.wait(_PAUSE_S):
                    break
        except (FeedUnavailable, ConfigurationError):
            return _AGAIN_S  # the outage is logged where it is waited for
        finally:
            if rows:
                self._log.info("feed items deleted", count=rows, days=self._days)
        return _PERIOD_S
