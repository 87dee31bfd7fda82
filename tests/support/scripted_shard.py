"""A shard for the places of a channel whose Redis answers what the test says."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from galaxy_notify.channels.shard import ChannelShard
from galaxy_notify.channels.sources import RouteSource, claim_one
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimedMember
from tests.support.worker import publisher_state

AWAY = RedisFault(Fault("connection", Remedy.RETRY, "refused"))
MEMBER = f"{'a' * 32}/mine:u1".encode()
FOUND = Claim("claimed", "t", 1000, members=[ClaimedMember(MEMBER, b"1p")])
IDLE = Claim("idle", "t", 1000)


class ScriptedStore:
    """Stands in for the store of a shard: each call takes the next answer, or raises it."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.calls: list[tuple[str, Any]] = []

    async def claim(self, channel: str, token: str, limits: object, *, alone: bool) -> Any:
        """Answer a claim."""
        del channel, limits
        return await self._answer("claim", (token, alone))

    async def end(self, channel: str, token: str, outcomes: Any) -> Any:
        """Answer an outcome."""
        del channel, token
        return await self._answer("end", outcomes)

    async def wait_for_wakeup(self, channels: list[str], seconds: float) -> Any:
        """Answer a listener."""
        return await self._answer("listen", (tuple(channels), seconds))

    async def notify_channels(self, channels: list[str]) -> None:
        """Keep which channels are woken."""
        self.calls.append(("notify", tuple(channels)))

    async def refresh_primary(self) -> None:
        """Keep that it was asked for."""
        self.calls.append(("refresh", None))

    def made(self, name: str) -> list[Any]:
        """Return what the calls of one name were for."""
        return [about for made, about in self.calls if made == name]

    async def _answer(self, name: str, about: Any) -> Any:
        self.calls.append((name, about))
        answer = self.answers.pop(0)
        if isinstance(answer, asyncio.Future):
            answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


def scripted_shard() -> tuple[ChannelShard, ScriptedStore]:
    """Return a shard, and the store that stands for it."""
    store = ScriptedStore()
    state = ShardState(publisher_state(), Keys("gn", 0), str)
    return ChannelShard(state, cast("Any", store), bool), store


def source_at(shard: ChannelShard, *, poll_s: float = 3600.0, ttl_ms: int = 60_000) -> RouteSource:
    """Return the routes of the channel ``mine`` at a shard."""
    limits = claim_one(ttl_ms, 300_000, at_most_once=False)
    return RouteSource("mine", "host-1-abcd", shard, limits, poll_s)
