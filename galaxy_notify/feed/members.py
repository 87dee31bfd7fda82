"""The two streams of a shard that a writer reads: first the backlog, then the gateway stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import redis.asyncio

from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.feed_backlog import BacklogMember
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.keys import Keys


class BacklogReading(BacklogMember):
    """Reads the backlog, and knows whether it has more."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, consumer: str) -> None:
        super().__init__(client, keys, consumer)
        #: Set while the last read found nothing.
        self.is_drained = asyncio.Event()

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """Wait for entries that the group was not given yet; none in time is normal."""
        # While it has had more, the gateway stream waits for the answer.
        entries = await super().read(count, block_ms if self.is_drained.is_set() else 1)
        if entries:
            self.is_drained.clear()
        else:
            self.is_drained.set()
        return entries


class StreamReading(GroupMember):
    """Reads the gateway stream while there is nothing in the backlog: that is older.

    What this process is given waits for that. Another process may still write what it was given of
    the backlog: then events of a user may change places.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, consumer: str, backlog: BacklogReading
    ) -> None:
        super().__init__(client, keys, FEED_GROUP, consumer)
        self._backlog = backlog

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """Wait for entries that the group was not given yet; none in time is normal."""
        with suppress(TimeoutError):
            async with asyncio.timeout(block_ms / 1000):
                await self._backlog.is_drained.wait()
        return await super().read(count, block_ms) if self._backlog.is_drained.is_set() else []
