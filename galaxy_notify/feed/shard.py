"""One shard of a writer: it reads backlog and gateway stream, and keeps out of trimming's way."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.feed.deliveries import DeliveredItems, DeliveriesReader
from galaxy_notify.feed.members import BacklogReading, StreamReading
from galaxy_notify.feed.patience import Patience
from galaxy_notify.gateway.handler import BatchRunner
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.gateway.shard import ShardReader
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_state.deliveries import DeliveriesMember
from galaxy_notify.redis_state.feed_backlog import FeedBacklog, Pass
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings.feed import FeedSettings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_ATTEND_S: Final = 1.0
#: Between two passes of which the first left something to move.
_MORE_S: Final = 0.02
#: With more events in the stream than this, the writer is behind.
_AT_WORK: Final = 1000


class Sharing(NamedTuple):
    """What the shards of one writer share."""

    client: redis.asyncio.Redis
    key_space: KeySpace
    writer_id: str
    feed: FeedSettings
    telemetry: Telemetry
    stop: StopFlag
    redis_log: OutageLog
    stagger: Stagger


class FeedShard:
    """Writes the events of one shard."""

    def __init__(
        self, sharing: Sharing, keys: Keys, runner: BatchRunner, items: DeliveredItems
    ) -> None:
        client, name = at_shard(sharing.client, keys.tag), sharing.writer_id
        self._sharing = sharing
        self._keys = keys
        self._first = BacklogReading(client, keys, name)
        then = StreamReading(client, keys, name, self._first)
        options = _options(sharing.feed)
        rest = (options, runner, sharing.stop, sharing.redis_log, sharing.stagger)
        self._readers = [ShardReader(member, *rest) for member in (self._first, then)]
        self._backlog = FeedBacklog(client, keys, sharing.key_space.shared, name)
        self._deliveries = DeliveriesMember(client, keys, name)
        self._items = items
        #: Whether many items are still to come; true until it was counted.
        self._is_behind = True
        log = get_logger("feed", shard=keys.shard)
        self._behind = EdgeLog(log, "feed behind", "feed caught up")
        self._full = EdgeLog(log, "feed backlog full", "feed backlog has room again")

    async def run(self) -> None:
        """Write until the stop; raise what is a defect."""
        deliveries = DeliveriesReader(
            self._deliveries,
            self._items,
            self._sharing.stop,
            self._retry(self._deliveries),
            lambda: self._is_behind,
            Patience(),
        )
        await together(
            self._sharing.stop,
            *(reader.run() for reader in self._readers),
            self._attend(),
            deliveries.run(),
        )

    def _retry(self, member: GroupMember) -> RetryUntilStopped:
        sharing = self._sharing
        log, stagger = sharing.redis_log, sharing.stagger
        return RetryUntilStopped(
            sharing.stop, log, stagger, member.recover, node=lambda: member.node
        )

    async def _attend(self) -> None:
        """Report this writer, and move what lies beyond half of the stream."""
        stop, most = self._sharing.stop, self._sharing.feed.backlog_max
        retry = self._retry(self._first)
        pause_s = 0.0
        while not await stop.wait(pause_s):
            try:
                done = await retry(lambda: self._backlog.attend(most))
            except Stopped:
                break
            self._report(done)
            pause_s = _MORE_S if done.more else _ATTEND_S
        with suppress(RedisFault):
            await self._backlog.leave()

    def _report(self, done: Pass) -> None:
        self._sharing.telemetry.feed_waiting(self._keys.shard, done.waiting, done.backlog)
        self._is_behind = done.backlog > 0 or done.waiting > _AT_WORK
        if done.backlog:
            self._behind.down("backlog", f"{done.backlog} events wait for Postgres")
        else:
            self._behind.up()
        if done.is_full:
            self._full.down("full", f"the backlog has {done.backlog} events")
        elif self._full.is_down:
            self._full.up()


def _options(feed: FeedSettings) -> ConsumerOptions:
    return ConsumerOptions(
        # A batch, and beside it what was left for later.
        concurrency=2,
        batch_max=feed.batch_size,
        batch_wait_s=feed.batch_ms / 1000,
        reclaim_idle_s=5.0,
        # Each call to Postgres is bounded, and its outage is waited out.
        handler_timeout_s=inf,
        keeps_claims=True,
        # The rows know what was written.
        marks=False,
        keeps_name=False,
        retry_min_s=0.5,
        retry_max_s=5.0,
        waiting_max=10_000,
    )
