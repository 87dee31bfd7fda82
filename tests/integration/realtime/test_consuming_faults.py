"""The consuming half of a gateway while Redis is away, refuses, or loses answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis
import redis.asyncio

from galaxy_notify.gateway.event import Event, decode_event
from galaxy_notify.live.placing import Placing
from galaxy_notify.realtime.delivery import Delivery
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.recent import RecentLimits
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from tests.support.delivering import (
    Told,
    deliveries,
    delivering,
    offsets,
    pending,
    publish_to,
    settings_of,
)
from tests.support.events import KEYS, event_fields, parked, publish, write_deployment
from tests.support.proxy import Proxy
from tests.support.servers import Server
from tests.support.wait import until

Scenario = Callable[[redis.Redis, Told], Awaitable[None]]


@pytest.fixture
def proxy(any_server: Server) -> Iterator[Proxy]:
    """Give a way to the server that loses what a test wants."""
    made = Proxy(any_server.socket)
    yield made
    made.close()


def _run(server: Server, scenario: Scenario) -> None:
    """Run a scenario with a client that looks on, and an instance with u1 and u2."""

    async def body(client: redis.Redis) -> None:
        async with redis.asyncio.Redis.from_url(server.url) as of_instance:
            told = Told(of_instance, "gw-9")
            await told.attend("u1", "u2")
            await scenario(client, told)

    with server.client() as client:
        write_deployment(client)
        asyncio.run(body(client))


@pytest.mark.parametrize("words", [b"EVALSHA", b"NOMKSTREAM", b"XACK", b"XREADGROUP"])
def test_answer__that_is_lost_doubles_nothing(
    any_server: Server, proxy: Proxy, words: bytes
) -> None:
    """Without the answer to a delivery, a telling, an acknowledgement or a read each event stays
    once in its list, none is parked, and the instance is told.
    """

    async def scenario(client: redis.Redis, told: Told) -> None:
        async with delivering(proxy.url):
            publish(client, 1, user="u1")
            await told.tellings(1)
            proxy.lose_reply_to(words)
            publish_to(client, range(2, 42), ["u1", "u2"])
            found = await told.places(40)
            await until(lambda: pending(client) == 0, "all are acknowledged")
        assert proxy.lost == 1
        assert {place.offset for user, place in found if user == "u2"} == set(range(1, 21))
        evens, odds = range(2, 42, 2), range(3, 42, 2)
        assert offsets(client, "u1") == list(enumerate([1, *evens], 1))
        assert offsets(client, "u2") == list(enumerate(odds, 1))
        assert parked(client) == []

    _run(any_server, scenario)


def _refused(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return int(stats["cmdstat_evalsha"]["calls"])


def test_refused_writes__cost_no_delivery(any_server: Server) -> None:
    """While Redis has no memory two members try on; no delivery is counted, nothing is parked."""
    settings = settings_of(any_server.url, reclaim_idle_ms=1000)

    async def scenario(client: redis.Redis, told: Told) -> None:
        async with delivering(settings), delivering(settings, "gw-2"):
            publish(client, 0)
            await told.tellings(1)
            pipeline = client.pipeline(transaction=True)
            for number in range(1, 20):
                pipeline.xadd(KEYS.stream, event_fields(number))
            pipeline.config_set("maxmemory", 1)
            try:
                pipeline.execute()
                first = _refused(client)
                await until(lambda: _refused(client) >= first + 15, "both try on")
                assert deliveries(client) <= {0, 1, 2}
            finally:
                client.config_set("maxmemory", 0)
            await told.tellings(19)
            await until(lambda: pending(client) == 0, "all are acknowledged")
        # Several members may give the events of a user in another order than the stream had.
        places, numbers = zip(*offsets(client, "u1"), strict=True)
        assert (list(places), sorted(numbers)) == (list(range(1, 21)), list(range(20)))
        assert parked(client) == []

    _run(any_server, scenario)


def test_redis__away_for_longer_than_a_claim_costs_no_delivery(
    any_server: Server, proxy: Proxy
) -> None:
    """What a member read before an outage is delivered after it, as if nothing had been."""
    settings = settings_of(proxy.url, reclaim_idle_ms=1000)

    async def scenario(client: redis.Redis, told: Told) -> None:
        async with delivering(settings):
            publish(client, 1)
            await told.tellings(1)
            proxy.lose_reply_to(b"EVALSHA", "silence")
            publish_to(client, range(2, 12), ["u1", "u2"])
            await until(lambda: proxy.lost == 1, "an answer is lost")
            with proxy.down():
                await until(lambda: _idle_ms(client) > 3000, "it is away for long")
            await told.tellings(10)
            await until(lambda: pending(client) == 0, "all are acknowledged")
        assert len(offsets(client, "u1")) + len(offsets(client, "u2")) == 11
        assert parked(client) == []

    _run(any_server, scenario)


def _idle_ms(client: redis.Redis) -> int:
    rows: Any = client.xpending_range(KEYS.stream, REALTIME_GROUP, "-", "+", 1)
    return int(rows[0]["time_since_delivered"])


def test_stop__does_not_wait_for_redis(any_server: Server, proxy: Proxy) -> None:
    """A stop during an outage leaves its events to others, who deliver them once."""

    async def scenario(client: redis.Redis, told: Told) -> None:
        async with AsyncExitStack() as stops:
            await stops.enter_async_context(delivering(proxy.url))
            publish(client, 1)
            await told.tellings(1)
            proxy.lose_reply_to(b"EVALSHA", "silence")
            publish(client, 2)
            await until(lambda: proxy.lost == 1, "an answer is lost")
            with proxy.down():
                await stops.aclose()
        async with delivering(settings_of(any_server.url, reclaim_idle_ms=1000), "gw-2"):
            both = [(1, 1), (2, 2)]
            await until(lambda: offsets(client, "u1") == both, "the second is delivered")
            await until(lambda: pending(client) == 0, "all are acknowledged")
        assert offsets(client, "u1") == [(1, 1), (2, 2)]
        assert parked(client) == []

    _run(any_server, scenario)


def test_batch__that_two_members_deliver_gives_one_offset_an_event(any_server: Server) -> None:
    """Whatever the order of two copies of a batch, each event has one place in its list."""

    async def scenario(client: redis.Redis, told: Told) -> None:
        batch = [_event(number, f"u{number % 2 + 1}") for number in range(200)]
        deliver = _delivery(told.client)
        first, second = await asyncio.gather(deliver(batch), deliver(batch[::-1]))
        assert (first, second) == ({}, {})
        for user in ("u1", "u2"):
            found = offsets(client, user)
            assert [offset for offset, _ in found] == list(range(1, 101))
            assert len({number for _, number in found}) == 100
        tellings = await told.tellings(400)
        places = {(one.user, one.cursor.offset): one.packed for one in tellings}
        assert len(places) == 200
        assert len(set(places.values())) == 200

    _run(any_server, scenario)


@pytest.mark.parametrize("delivered", [0, 20, 40])
def test_member__that_died_before_it_acknowledged(any_server: Server, delivered: int) -> None:
    """What a dead member had read, and delivered a part of, another one delivers once."""
    settings = settings_of(any_server.url, reclaim_idle_ms=1000)

    async def scenario(client: redis.Redis, told: Told) -> None:
        client.xgroup_create(KEYS.stream, REALTIME_GROUP, id="0", mkstream=True)
        publish_to(client, range(40), ["u1", "u2"])
        client.xreadgroup(REALTIME_GROUP, "gw-0", {KEYS.stream: ">"})
        batch = [_event(number, f"u{number % 2 + 1}") for number in range(delivered)]
        await _delivery(told.client)(batch)
        await told.tellings(delivered)
        async with delivering(settings):
            found = await told.places(40)
            await until(lambda: pending(client) == 0, "all are acknowledged")
        assert offsets(client, "u1") == list(enumerate(range(0, 40, 2), 1))
        assert offsets(client, "u2") == list(enumerate(range(1, 40, 2), 1))
        assert len(found) == 40

    _run(any_server, scenario)


def _delivery(client: redis.asyncio.Redis) -> Delivery:
    placing = Placing(client, KeySpace("gn", SharedSettings()), RecentLimits(100, 60_000))
    return Delivery(placing, frozenset({"push"}))


def _event(number: int, user: str) -> Event:
    fields = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in event_fields(number, user).items()
    }
    return decode_event(Entry("1-1", fields, 1), KEYS.stream, 0)
