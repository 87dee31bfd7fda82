"""The store of a shard: what a publish waits for, and what it reports."""

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
from galaxy_notify.redis_state.publish_call import Published, PublishTerms
from galaxy_notify.redis_state.store import Store

LIMITS = ClaimLimits(64, 30_000, 4_000, 900, 0)
TERMS = PublishTerms(800, b"", (1, 1), {})
ROUTES = [b"published", 99, b"", 0, 17, 5, [b"turn", 5], [b"1900000000000", 5], []]
LEFT = [b"published", 99, b"", 5, 17, 0, [], [], []]
IDLE = [b"idle", 99, b"", 0]


class _Server:
    """A client, its pool and its connection: answers the script, and then what follows it."""

    def __init__(self, reply: Any, *ending: Any) -> None:
        self.commands: list[str] = []
        self.connection_pool = self
        self._reply, self._ending = reply, list(ending)

    async def execute_command(self, *words: Any) -> Any:
        self.commands.append(str(words[0]))
        return self._reply

    async def get_connection(self) -> _Server:
        return self

    async def release(self, _: object) -> None:
        pass

    async def send_packed_command(self, data: Sequence[bytes]) -> None:
        words = b"".join(data).split(b"\r\n")
        self.commands += [word.decode() for word in words if word in (b"SET", b"WAIT", b"EXISTS")]

    async def parse_response(self, _: object, __: str) -> Any:
        return self._ending.pop(0)


def _published(
    server: _Server, durability: str = "replicas:1"
) -> tuple[Published, list[tuple[str, int]]]:
    """Publish; return the reply, and the scripts that were reported with their items."""
    took: list[tuple[str, int]] = []
    store = Store(
        cast(redis.asyncio.Redis, server),
        Keys("gn", 0),
        lambda name, _, items: took.append((name, items)),
        Confirmation.of(durability),
    )
    return asyncio.run(store.publish("push", LIMITS, TERMS)), took


def test_publish__reports_its_routes() -> None:
    """One call, and the number of the routes that it published."""
    server = _Server(ROUTES)
    published, took = _published(server, "none")
    assert (published.routes, took) == (5, [("route_publish", 5)])
    assert server.commands == ["EVALSHA"]


def test_publish__waits_until_it_is_safe() -> None:
    """A mark follows the events, whichever connection wrote them, and WAIT follows the mark."""
    server = _Server(ROUTES, b"OK", 1)
    published, took = _published(server)
    assert (published.routes, took) == (5, [("route_publish", 5)])
    assert server.commands == ["EVALSHA", "SET", "WAIT"]


@pytest.mark.parametrize("reply", [IDLE, LEFT, [b"paused", 1, b"", 0], [b"held", 1, 9, 0]])
def test_publish__of_nothing_waits_for_nothing(reply: list[Any]) -> None:
    """A worker that looks for due routes writes no mark each time."""
    server = _Server(reply)
    published, took = _published(server)
    assert (published.routes, took) == (0, [("route_publish", 0)])
    assert server.commands == ["EVALSHA"]


def test_publish__that_is_not_safe_is_a_fault() -> None:
    """The routes are published and may be lost: they are not reported."""
    with pytest.raises(RedisFault, match="0 of 1 replicas had it") as caught:
        _published(_Server(ROUTES, b"OK", 0))
    assert caught.value.fault.code == "unconfirmed"
    assert caught.value.outcome_unknown


def test_publish__with_an_unreadable_reply_is_a_fault() -> None:
    """Nothing is waited for then."""
    server = _Server([b"published"])
    with pytest.raises(RedisFault) as caught:
        _published(server)
    assert caught.value.fault.code == UNREADABLE
    assert server.commands == ["EVALSHA"]
