"""The writer of the feed: every event of its channels becomes a row in Postgres, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final

from galaxy_notify.feed.deliveries import DeliveredItems
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.retention import FeedRetention
from galaxy_notify.feed.rows import EventRows
from galaxy_notify.feed.shard import FeedShard, Sharing
from galaxy_notify.feed.sweep import CountsSweep
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.gateway.handler import BatchRunner
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import StopFlag, together
from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_state.count_sweeps import CountSweeps
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

#: Three block to read; the others acknowledge, sweep, claim, move and mark.
_PER_SHARD: Final = 7
_STOP_WITHIN_S: Final = 10.0
_AGAIN_S: Final = 5.0


class FeedWriter:
    """Writes the events of all shards until it is stopped, across outages of Redis and Postgres.

    Any number of writers share the work, each under a name of its own.
    """

    def __init__(
        self,
        settings: Settings,
        store: FeedStore,
        writer_id: str,
        telemetry: Telemetry,
        alive: Callable[[], object] = bool,
    ) -> None:
        """Prepare; *alive* is called at least once a second while the writer works."""
        self._settings = settings
        self._store = store
        self._writer_id = writer_id
        self._telemetry = telemetry
        self._alive = alive
        self._is_ended = False
        self._stop = StopFlag(alive)
        self._log = get_logger("feed", writer=writer_id)
        self._runner: BatchRunner | None = None

    async def run(self, key_space: KeySpace) -> None:
        """Write until `stop`; raise the error of a defect."""
        name, shards = f"galaxy-notify-{self._writer_id}", key_space.shared.shards
        client = open_async(self._settings, connections=shards * _PER_SHARD, name=name)
        # A part that breaks stops the others.
        feed, stop = self._settings.feed, StopFlag(self._alive)
        self._stop = stop
        if self._is_ended:
            stop.set()
        marks, outage = Marks(client, key_space), PostgresOutage(stop, self._store.ready)
        channels = frozenset(feed.channels)
        rows = EventRows(self._store, marks, channels, outage, self._telemetry)
        progress = CountSweeps(client, key_space.keys(0), self._writer_id)
        sweep = CountsSweep(self._store, marks, progress, outage, stop, feed.statement_timeout_ms)
        retention = FeedRetention(self._store, marks, outage, stop, feed.retention_days)
        runner = self._runner = BatchRunner(rows, inf)
        log = OutageLog(EdgeLog(self._log))
        sharing = Sharing(
            client, key_space, self._writer_id, feed, self._telemetry, stop, log, Stagger()
        )
        items = DeliveredItems(self._store, outage, self._telemetry)
        parts = [FeedShard(sharing, keys, runner, items) for keys in key_space.all_keys]
        self._log.info("feed writing", shards=shards, channels=list(feed.channels))
        try:
            await together(stop, sweep.run(), retention.run(), *(part.run() for part in parts))
        finally:
            with suppress(*REDIS_ERRORS):
                await client.aclose()

    async def run_beside(self, key_space: KeySpace) -> None:
        """Write until `stop`; a defect of the writer is logged and never ends other work."""
        while not self._is_ended:
            try:
                await self.run(key_space)
            except Exception as error:  # a defect of the writer must not end publishing
                self._log.error("feed failed", exc_info=error)
                self._stop = StopFlag(self._alive)
                await self._stop.wait(0 if self._is_ended else _AGAIN_S)

    def stop(self) -> None:
        """End `run` soon: what was begun is completed, other events are left to other writers."""
        self._is_ended = True
        self._stop.set()
        if self._runner is not None:
            self._runner.stop_within(_STOP_WITHIN_S)
