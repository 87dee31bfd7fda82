"""The registry of gateway processes: who serves users now, and how many of them."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

import redis.asyncio

from galaxy_notify import __version__
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.worker_process import own_process

#: The consumer group of all gateways of a deployment.
REALTIME_GROUP: Final = "realtime"
#: What an instance reported is forgotten after this; its last progress is remembered for an hour.
REPORT_TTL_MS: Final = 60_000
GATEWAY_KEPT_MS: Final = 3_600_000


class GatewayRegistry:
    """The entry of one instance, on the first shard. Every method raises `RedisFault`."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        key_space: KeySpace,
        instance: str,
        *,
        consumes: bool = True,
        serves: bool = True,
    ) -> None:
        """Prepare; *consumes* and *serves* say which halves of the gateway the process runs."""
        self._client = client
        self._keys = key_space.keys(0)
        self._instance = instance
        self._about = {
            "host": socket.gethostname(),
            "pid": str(os.getpid()),
            "version": __version__,
            "started_ms": str(_now_ms()),
            "process": own_process(),
            "consumes": str(int(consumes)),
            "serves": str(int(serves)),
        }

    async def report(self, connections: int, users: int) -> None:
        """Report progress, with the open streams and how many users they belong to.

        To be called every few seconds; what is not renewed is forgotten after 60 s.
        """
        keys, now_ms = self._keys, _now_ms()
        fields = self._about | {
            "connections": str(connections),
            "users": str(users),
            "progress_ms": str(now_ms),
        }
        own = keys.gateway(self._instance)
        await self._ask(
            ["HSET", own, *(part for pair in fields.items() for part in pair)],
            ["PEXPIRE", own, REPORT_TTL_MS],
            ["ZADD", keys.gateways, now_ms, self._instance],
            # An instance that died never leaves: those who live remove its name.
            ["ZREMRANGEBYSCORE", keys.gateways, "-inf", now_ms - GATEWAY_KEPT_MS],
        )

    async def leave(self) -> None:
        """Remove the entry: the process ends as it should, and nobody misses it."""
        keys = self._keys
        await self._ask(
            ["DEL", keys.gateway(self._instance)], ["ZREM", keys.gateways, self._instance]
        )

    async def _ask(self, *commands: list[str | int]) -> None:
        for reply in await run_all(self._client, [Command(words) for words in commands]):
            if isinstance(reply, RedisFault):
                raise reply


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
