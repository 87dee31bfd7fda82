"""The read that is sent while quick entries are delivered: what becomes of its entries."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial

import pytest
import redis

from galaxy_notify.gateway import shard
from tests.support.events import (
    KEYS,
    consuming,
    event_fields,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.holding import BOTH, TENS, Consuming, Holding, calls, last_read, until_read_ahead
from tests.support.servers import Server
from tests.support.wait import HANG_S, until


@pytest.fixture
def every_read_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no delivery count as slow, also on a busy machine."""
    monkeypatch.setattr(shard, "_QUICK_S", HANG_S)


@pytest.mark.usefixtures("every_read_is_quick")
@BOTH
def test_read_ahead__handles_each_event_once_and_in_order(
    server: Server, consume: Consuming
) -> None:
    """The next entries are read while a quick handler runs, and handled after its own."""

    async def scenario(client: redis.Redis) -> None:
        handler = Holding(10)
        ids = publish(client, *range(35))
        async with consume(server, handler, options=TENS):
            await until_read_ahead(client, handler, ids[29])
            assert handler.numbers == list(range(10))
            handler.may_go.set()
            await until(lambda: unfinished(client) == 0 and len(handler.numbers) == 35, "all")
        assert handler.numbers == list(range(35))

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


@pytest.mark.usefixtures("every_read_is_quick")
def test_read_ahead__keeps_the_order_of_each_user(server: Server) -> None:
    """With several handlers at a time, no event overtakes an earlier one of its user."""

    async def scenario(client: redis.Redis) -> None:
        handler = Holding(10)
        for number in range(60):
            (last,) = publish(client, number, user=f"u{number % 3}")
            if number == 29:
                expected = last
        async with consume_three(server, handler):
            await until_read_ahead(client, handler, expected)
            # The other users' events of the same read come to their end; no later read begins.
            others = [n for n in range(20) if n < 10 or n % 3 != 10 % 3]
            await until(lambda: sorted(handler.numbers) == others, "the other users' events")
            handler.may_go.set()
            await until(lambda: unfinished(client) == 0 and len(handler.numbers) == 60, "all")
        for user in range(3):
            of_user = [number for number in handler.numbers if number % 3 == user]
            assert of_user == list(range(user, 60, 3))

    consume_three = partial(consuming, options=replace(TENS, concurrency=3))
    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


@pytest.mark.usefixtures("every_read_is_quick")
@BOTH
def test_read_ahead__stop_releases_it(server: Server, consume: Consuming) -> None:
    """After a stop another consumer gets what was read ahead at once; it cost no delivery."""

    async def scenario(client: redis.Redis) -> None:
        handler, other = Holding(10), Holding(-1)
        ids = publish(client, *range(30))
        async with consume(server, handler, options=TENS) as gateway:
            await until_read_ahead(client, handler, ids[29])
            gateway.stop()
            handler.may_go.set()
        left = pending_entries(client)
        assert {e["message_id"].decode() for e in left} >= set(ids[20:])
        assert len(left) + len(handler.numbers) == 30
        assert {e["times_delivered"] for e in left} == {1}
        assert min(e["time_since_delivered"] for e in left) >= 600_000
        async with consume(server, other, consumer="gw-2", options=TENS):
            await until(lambda: unfinished(client) == 0, "the other consumer has the rest")
        assert sorted(handler.numbers + other.numbers) == list(range(30))

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


@BOTH
def test_read_ahead__leaves_the_rest_where_the_handler_is_slow(
    server: Server, consume: Consuming
) -> None:
    """A slow handler keeps one read: neither reads of nothing nor slow ones count as quick."""

    async def scenario(client: redis.Redis) -> None:
        slow, other = Holding(0), Holding(-1)
        async with consume(server, slow, options=TENS):
            await until(lambda: calls(client, "xreadgroup") > 1, "a read returned nothing")
            with client.pipeline() as pipe:  # at once, so the blocked read is full
                for number in range(30):
                    pipe.xadd(KEYS.stream, event_fields(number))
                ids = pipe.execute()
            await slow.holds.wait()
            since = time.monotonic()
            await until(lambda: time.monotonic() - since > 2 * shard._QUICK_S, "it is slow")
            assert last_read(client) == ids[9].decode()
            slow.number = 10
            slow.holds.clear()
            slow.may_go.set()
            slow.may_go = asyncio.Event()
            await slow.holds.wait()
            async with consume(server, other, consumer="gw-2", options=TENS):
                await until(lambda: other.numbers == list(range(20, 30)), "the rest")
            slow.may_go.set()
            await until(lambda: unfinished(client) == 0, "all are acknowledged")
        assert slow.numbers == list(range(20))
        assert slow.deliveries == other.deliveries == {1}

    with server.client() as client:
        write_deployment(client)
        client.config_resetstat()
        asyncio.run(scenario(client))


@pytest.mark.usefixtures("every_read_is_quick")
def test_read_ahead__is_delivered_although_many_wait(server: Server) -> None:
    """Entries that were read ahead do not wait for themselves."""
    few = replace(TENS, waiting_max=5)

    async def scenario(client: redis.Redis) -> None:
        handler = Holding(10)
        ids = publish(client, *range(30))
        async with consuming(server, handler, options=few):
            await until_read_ahead(client, handler, ids[29])
            await until(
                lambda: min(e["time_since_delivered"] for e in pending_entries(client)) > 50, "wait"
            )
            swept = calls(client, "xpending")
            # A sweep calls it twice, and the first one may have begun before.
            await until(lambda: calls(client, "xpending") > swept + 4, "a sweep")
            handler.may_go.set()
            await until(lambda: handler.numbers == list(range(30)), "all are handled")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


@pytest.mark.usefixtures("every_read_is_quick")
@BOTH
def test_read_ahead__gets_entries_again_that_are_with_the_handler(
    server: Server, consume: Consuming
) -> None:
    """A group that is set back during the read repeats nothing."""

    async def scenario(client: redis.Redis) -> None:
        handler = Holding(10)
        ids = publish(client, *range(20))
        async with consume(server, handler, options=replace(TENS, reclaim_idle_s=60)):
            await until_read_ahead(client, handler, ids[19])
            client.xgroup_setid(KEYS.stream, "gateway", ids[9])
            publish(client, 20)
            await until(lambda: last_read(client) == ids[19], "they are read again")
            handler.may_go.set()
            await until(lambda: unfinished(client) == 0 and 20 in handler.numbers, "all")
        assert handler.numbers == list(range(21))

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
