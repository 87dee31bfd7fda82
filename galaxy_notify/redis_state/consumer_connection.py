"""The connection of a consumer to all shards of a deployment."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import redis.asyncio

from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import REDIS_ERRORS
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_state.group_report import GroupReport, group_report_async
from galaxy_notify.redis_state.joining import read_deployment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

# A shard blocks one connection to read; what it sends meanwhile shares few more.
_PER_SHARD: Final = 4


class ConsumerConnection:
    """A client with connections enough for every shard, and where everything lies."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self.client = client
        self.key_space = key_space

    @classmethod
    async def open(cls, settings: Settings, name: str) -> Self | None:
        """Connect, or return None where there is no deployment yet; raises `RedisFault`."""
        client = open_async(settings, connections=1, name=name)
        try:
            found = await run_flow(client, read_deployment(settings.redis.prefix))
        finally:
            with suppress(*REDIS_ERRORS):
                await client.aclose()
        if found is None:
            return None
        connections = found.shards * _PER_SHARD
        return cls(
            open_async(settings, connections=connections, name=name),
            KeySpace(settings.redis.prefix, found),
        )

    def at_shard(self, keys: Keys) -> redis.asyncio.Redis:
        """Return the client of the node that serves a shard."""
        return at_shard(self.client, keys.tag)

    async def reports(self) -> dict[int, dict[str, GroupReport]]:
        """Return how every group stands on each shard; raises `RedisFault`."""
        return {
            keys.shard: await group_report_async(self.at_shard(keys), keys)
            for keys in self.key_space.all_keys
        }

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()
