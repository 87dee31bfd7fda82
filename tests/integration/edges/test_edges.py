"""Edges on a server: one of all callers fires, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest

from galaxy_notify.edges import AsyncEdgeTrigger, EdgeTrigger, InvalidEdge
from galaxy_notify.errors import (
    AlreadyClosed,
    ConfigurationError,
    Misconfigured,
    ServerRefused,
    Unavailable,
)
from tests.support.command import NOWHERE
from tests.support.deployment import Deploy
from tests.support.proxy import Proxy, proxied
from tests.support.refusing import out_of_memory
from tests.support.servers import Server

CALLERS = 16
KEYS = [f"load:{number}" for number in range(8)]


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Put a proxy in front of the server."""
    with proxied(any_server.socket) as made:
        yield made


def in_threads(url: str, values: Sequence[float], **terms: Any) -> list[bool]:
    """Observe values of one key at the same time, each in a thread with a trigger of its own."""
    start = Barrier(len(values))

    def call(trigger: EdgeTrigger, value: float) -> bool:
        start.wait()
        return trigger.fires("load", value, **terms)

    with ExitStack() as stack, ThreadPoolExecutor(len(values)) as pool:
        triggers = [stack.enter_context(EdgeTrigger.from_url(url)) for _ in values]
        return list(pool.map(call, triggers, values))


async def in_tasks(url: str, keys: Sequence[str], value: float, **terms: Any) -> list[list[bool]]:
    """Observe a value of each key by 16 tasks at the same time, half of them with one trigger."""
    async with AsyncEdgeTrigger.from_url(url) as one, AsyncEdgeTrigger.from_url(url) as other:
        triggers = [one, other] * (CALLERS // 2)
        return [
            await asyncio.gather(*(each.fires(key, value, **terms) for each in triggers))
            for key in keys
        ]


def test_fires__for_one_of_many_callers(any_server: Server, deploy: Deploy) -> None:
    """Sixteen threads see the value rise, fall, and rise again: one is True each time."""
    deploy(any_server)
    for _ in range(5):
        assert sum(in_threads(any_server.url, [9.0] * CALLERS, at=8, clear=5)) == 1
        assert sum(in_threads(any_server.url, [3.0] * CALLERS, at=8, clear=5)) == 0


@pytest.mark.parametrize("lost", [1, 3])
def test_fires__once_though_replies_are_lost(
    any_server: Server, deploy: Deploy, proxy: Proxy, lost: int
) -> None:
    """The first calls took effect and were not answered: sent again, they are answered once."""
    deploy(any_server)
    # The server knows the script, so what is lost is the reply to its first run.
    with EdgeTrigger.from_url(any_server.url) as trigger:
        trigger.fires("warm", 1, at=8)
    for _ in range(lost):
        proxy.lose_reply("edge_fire")
    assert sum(in_threads(proxy.url, [9.0] * CALLERS, at=8, clear=5)) == 1
    assert proxy.lost == lost


def test_fires__for_one_of_many_tasks_on_several_shards(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A key lies on the shard of a user of that name; each fires once, lost replies or not."""
    deployment = deploy(any_server, worker__shards=4)
    space = deployment.key_space
    assert {space.keys_of_user(key).shard for key in KEYS} == set(range(4))
    with EdgeTrigger.from_url(any_server.url) as trigger:
        trigger.fires("warm", 1, at=8)
    proxy.lose_reply("edge_fire")
    fired = asyncio.run(in_tasks(proxy.url, KEYS, 9, at=8, clear=5))
    assert [sum(each) for each in fired] == [1] * len(KEYS)
    assert proxy.lost == 1
    assert all(deployment.client.exists(space.keys_of_user(key).edge(key)) for key in KEYS)


def test_fires__as_the_contract_says(any_server: Server, deploy: Deploy) -> None:
    """Numbers with hysteresis, or the program's own comparison; another prefix is another edge."""
    deploy(any_server)
    deploy(any_server, redis__prefix="other")
    url = any_server.url
    with EdgeTrigger.from_url(url) as edges, EdgeTrigger.from_url(url, prefix="other") as others:
        values = [3, 9, 12, 7, 9, 4, 11]
        assert [v for v in values if edges.fires("queue", v, at=8, clear=5)] == [9, 11]
        assert [above for above in (True, True) if edges.fires("own", above=above)] == [True]
        assert not edges.fires("own", above=False)
        assert edges.fires("own", above=True)
        assert others.fires("own", above=True)
        flaps = [edges.fires("flap", value, at=8, cooldown_ms=3_600_000) for value in (9, 1) * 3]
        assert flaps == [True, *[False] * 5]


def test_fires__repeated_by_the_caller_is_answered_the_same(
    any_server: Server, deploy: Deploy
) -> None:
    """Who gives an id, in whichever process, hears again what the first call heard."""
    deploy(any_server)
    with EdgeTrigger.from_url(any_server.url) as one, EdgeTrigger.from_url(any_server.url) as two:
        assert one.fires("k", 9, at=8, call_id="minute-1")
        assert two.fires("k", 9, at=8, call_id="minute-1")
        assert not two.fires("k", 9, at=8, call_id="minute-2")


def test_fires__is_bounded_while_redis_is_away(any_server: Server, deploy: Deploy) -> None:
    """`Unavailable`, from both; a bad argument is refused before."""

    async def call() -> None:
        async with AsyncEdgeTrigger.from_url(NOWHERE) as trigger:
            await trigger.fires("k", 9, at=8)

    with EdgeTrigger.from_url(NOWHERE) as trigger:
        with pytest.raises(Unavailable):
            trigger.fires("k", 9, at=8)
        with pytest.raises(InvalidEdge, match=r"^value: "):
            trigger.fires("k", float("nan"), at=8)
    with pytest.raises(Unavailable):
        asyncio.run(call())
    deploy(any_server)
    with out_of_memory(any_server), EdgeTrigger.from_url(any_server.url) as trigger:
        with pytest.raises(ServerRefused):
            trigger.fires("k", 9, at=8)
        assert not trigger.fires("k", 1, at=8)


@pytest.mark.usefixtures("usual_timeout")
def test_fires__that_was_never_answered_is_unknown(
    any_server: Server, deploy: Deploy, proxy: Proxy
) -> None:
    """A connection that stays silent: the caller repeats the call with its id."""
    deploy(any_server)
    with EdgeTrigger.from_url(proxy.url) as trigger:
        trigger.fires("warm", 1, at=8)
        proxy.lose_reply("edge_fire", "silence")
        with pytest.raises(Unavailable):
            trigger.fires("k", 9, at=8, call_id="c")
        assert trigger.fires("k", 9, at=8, call_id="c")


def test_fires__without_a_deployment_says_so(any_server: Server) -> None:
    """Nothing founds one: the shards of the keys are unknown."""
    with (
        EdgeTrigger.from_url(any_server.url) as trigger,
        pytest.raises((ConfigurationError, Unavailable)),
    ):
        trigger.fires("k", 9, at=8)


def test_fires__names_the_right_that_is_missing(any_server: Server, deploy: Deploy) -> None:
    """A user who may not touch the keys of edges."""
    deployment = deploy(any_server)
    client = deployment.client
    keys = ["{gn:*}:meta", "{gn:*}:never"]
    client.acl_setuser("shop", enabled=True, nopass=True, commands=["+@all"], keys=keys)
    try:
        with (
            EdgeTrigger.from_url(any_server.url, username="shop", password="x") as trigger,
            pytest.raises(Misconfigured, match=r"edge:"),
        ):
            trigger.fires("k", 9, at=8)
    finally:
        client.acl_deluser("shop")


def test_trigger__refuses_calls_after_close(any_server: Server, deploy: Deploy) -> None:
    """Each names itself; neither can be copied to another process."""
    deploy(any_server)

    async def call() -> None:
        trigger = AsyncEdgeTrigger.from_url(any_server.url)
        assert await trigger.fires("a", above=True)
        await trigger.close()
        await trigger.fires("a", above=True)

    trigger = EdgeTrigger.from_url(any_server.url)
    with pytest.raises(TypeError, match=r"^a EdgeTrigger has open connections"):
        pickle.dumps(trigger)
    trigger.close()
    with pytest.raises(AlreadyClosed, match=r"^this EdgeTrigger is closed"):
        trigger.fires("k", 9, at=8)
    with pytest.raises(AlreadyClosed, match=r"^this AsyncEdgeTrigger is closed"):
        asyncio.run(call())
