"""The store of a shard: what a publish reports, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
import redis.asyncio

from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import ClaimLimits
from galaxy_notify.redis_state.publish_call import PublishTerms
from galaxy_notify.redis_state.store import Store

LIMITS = ClaimLimits(64, 30_000, 4_000, 900, 0)
TERMS = PublishTerms(800, b"", (1, 1), {})
ROUTES = [b"published", 99, b"", 0, 17, 5, [b"turn", 5], [b"1900000000000", 5], []]
LEFT = [b"published", 99, b"", 5, 17, 0, [], [], []]
IDLE = [b"idle", 99, b"", 0]


class _Server:
    """A client, its pool and its connection: gives the replies in order, and notes the commands."""

    def __init__(self, *replies: Any) -> None:
        self.commands: list[str] = []
        self.connection_pool = self
        self._replies = list(replies)

    async def get_connection(self) -> _Server:
        return self

    async def release(self, _: object) -> None:
        pass

    async def send_packed_command(self, data: Sequence[bytes]) -> None:
        words = b"".join(data).split(b"\r\n")
        names = (b"EVALSHA", b"SET", b"WAIT", b"EXISTS")
        self.commands += [word.decode() for word in words if word in names]

    async def read_response(self) -> Any:
        return self._replies.pop(0)

    async def parse_response(self, *_: object) -> Any:
        return self._replies.pop(0)


def _store(server: _Server, durability: str = "replicas:1") -> tuple[Store, list[tuple[str, int]]]:
    """Return a store, and the list of scripts that it reports with their items."""
    took: list[tuple[str, int]] = []
    store = Store(
        cast(redis.asyncio.Redis, server),
        Keys("gn", 0),
        lambda name, _, items: took.append((name, items)),
        Confirmation.of(durability),
    )
    return store, took


@pytest.mark.parametrize(("reply", "routes"), [(ROUTES, 5), (LEFT, 0), (IDLE, 0)])
def test_publish__reports_its_routes(reply: list[Any], routes: int) -> None:
    """One call, and the number of the routes that it published; it writes no mark."""
    server = _Server(reply)
    store, took = _store(server)
    published = asyncio.run(store.publish("push", LIMITS, TERMS))
    assert (published.routes, took) == (routes, [("route_publish", routes)])
    assert server.commands == ["EVALSHA"]


def test_publish__with_an_unreadable_reply_is_a_fault() -> None:
    """The routes may be published, and nothing is reported."""
    store, took = _store(_Server([b"published"]))
    with pytest.raises(RedisFault) as caught:
        asyncio.run(store.publish("push", LIMITS, TERMS))
    assert caught.value.fault.code == UNREADABLE
    assert took == []


def test_confirm__waits_until_it_is_safe() -> None:
    """A mark follows the events, whichever connection wrote them, and WAIT follows the mark."""
    server = _Server(b"OK", 1)
    asyncio.run(_store(server)[0].confirm_published())
    assert server.commands == ["SET", "WAIT"]


def test_confirm__that_is_not_safe_is_a_fault() -> None:
    """The routes are published and may be lost."""
    with pytest.raises(RedisFault, match="0 of 1 replicas had it") as caught:
        asyncio.run(_store(_Server(b"OK", 0))[0].confirm_published())
    assert caught.value.fault.code == "unconfirmed"
    assert caught.value.outcome_unknown


def test_confirm__without_durability_sends_nothing() -> None:
    """What the primary has is done."""
    server = _Server()
    asyncio.run(_store(server, "none")[0].confirm_published())
    assert server.commands == []
