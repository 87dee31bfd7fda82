"""The consumer of the gateway stream: every event reaches its handler."""

from __future__ import annotations

import asyncio
from functools import partial

import redis

from galaxy_notify.gateway import ConsumerOptions, Event
from galaxy_notify.redis_state.keys import Keys
from tests.support.events import (
    KEYS,
    Seen,
    consuming,
    event_id,
    leave_idle,
    pending,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


def test_consumer__delivers_from_the_beginning_in_order(any_server: Server) -> None:
    """A new group is given everything that is still in the stream, in its order."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(200))
        async with consuming(any_server, seen):
            await until(lambda: len(seen.events) == 200, "all events are handled")
            await until(lambda: unfinished(client) == 0, "all are acknowledged")
            publish(client, 200)
            await until(lambda: len(seen.events) == 201, "a later event is handled")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.numbers == list(range(201))
    event = seen.events[7]
    assert event.event_id == event_id(7)
    assert (event.user_id, event.event_type, event.shard, event.deliveries) == (
        "u1",
        "game.ready",
        0,
        1,
    )
    assert event.payload["data"] == {"number": 7}
    assert (event.request_id, event.traceparent) == ("", "")


def test_consumer__reads_all_shards(any_server: Server) -> None:
    """Shards are read from the deployment, and each has its group."""
    seen = Seen()
    shards = [Keys("gn", shard) for shard in range(3)]

    async def scenario(client: redis.Redis) -> None:
        for number in range(30):
            publish(client, number, keys=shards[number % 3])
        async with consuming(any_server, seen) as gateway:
            await until(lambda: len(seen.events) == 30, "the events of all shards are handled")
            await until(lambda: not _pending(client, shards), "all are acknowledged")
            assert sorted(await gateway.report()) == [0, 1, 2]

    with any_server.client() as client:
        write_deployment(client, shards=3)
        asyncio.run(scenario(client))
    assert sorted(seen.numbers) == list(range(30))
    assert {event.shard for event in seen.events} == {0, 1, 2}


def _pending(client: redis.Redis, shards: list[Keys]) -> int:
    return sum(pending(client, keys=keys) for keys in shards)


def test_consumer__handles_a_repeated_event_once(any_server: Server) -> None:
    """An event that is read twice, together or later, or as the group was set back, comes once."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 1, 2)
        async with consuming(any_server, seen):
            await until(lambda: unfinished(client) == 0 and len(seen.events) == 2, "read together")
            publish(client, 2, 1, 3)
            await until(lambda: unfinished(client) == 0 and len(seen.events) == 3, "read later")
            client.xgroup_setid(KEYS.stream, "gateway", "0")
            publish(client, 4)
            await until(lambda: unfinished(client) == 0 and len(seen.events) == 4, "set back")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.numbers == [1, 2, 3, 4]


def test_consumer__redelivers_what_a_dead_consumer_left(any_server: Server) -> None:
    """What a consumer had in hand when it died goes to another one; what it finished does not."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        client.zadd(KEYS.seen("gateway"), {event_id(2): 1_900_000_000_000})
        leave_idle(client)
        async with consuming(any_server, seen):
            publish(client, 4)
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert sorted(seen.numbers) == [1, 3, 4]
    deliveries = {event.event_id: event.deliveries for event in seen.events}
    assert deliveries == {event_id(1): 2, event_id(3): 2, event_id(4): 1}


def test_consumer__takes_up_its_own_after_a_restart(server: Server) -> None:
    """A consumer that starts again under its name need not wait for the others' delay."""
    seen = Seen()
    patient = ConsumerOptions(reclaim_idle_s=600, retry_min_s=0.05)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"})
        async with consuming(server, seen, options=patient):
            await until(lambda: unfinished(client) == 0, "its own event is acknowledged")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.numbers == [1]


def test_consumer__keeps_each_users_order(server: Server) -> None:
    """With many handlers at a time, each user's events still come in their order."""
    given: dict[str, list[int]] = {}

    async def handler(event: Event) -> None:
        number = event.payload["data"]["number"]
        for _ in range(number % 5):
            await asyncio.sleep(0)  # gives way to the other handlers, and waits for nothing
        given.setdefault(event.user_id, []).append(number)

    async def scenario(client: redis.Redis) -> None:
        for number in range(100):
            publish(client, number, user=f"u{number % 7}")
        async with consuming(server, handler, options=ConsumerOptions(concurrency=8)):
            await until(lambda: sum(map(len, given.values())) == 100, "all are handled")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert all(numbers == sorted(numbers) for numbers in given.values())
    assert len(given) == 7


def test_consumer__scripts_flushed_and_connections_killed(any_server: Server) -> None:
    """A server that forgets scripts and drops connections costs no event, and repeats none."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        async with consuming(any_server, seen):
            for number in range(20):
                publish(client, number)
                await until(partial(seen.has, number), "the event is handled")
                client.script_flush()
                client.client_kill_filter(_type="normal", skipme=True)
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.numbers == list(range(20))


def test_consumer__group_deleted(any_server: Server) -> None:
    """A group that vanishes is made again at the beginning; what it had handled stays handled."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        async with consuming(any_server, seen):
            publish(client, 1)
            await until(lambda: seen.numbers == [1], "the first event")
            client.xgroup_destroy(KEYS.stream, "gateway")
            publish(client, 2)
            await until(lambda: seen.numbers == [1, 2], "the event after the group went")
            client.flushall()
            write_deployment(client)
            publish(client, 3)
            await until(lambda: seen.numbers == [1, 2, 3], "the event after everything went")
            client.delete(KEYS.stream)
            publish(client, 4)
            await until(lambda: seen.numbers == [1, 2, 3, 4], "the event after the stream went")
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_consumer__two_share_a_group(server: Server) -> None:
    """Consumers of a group share its events: each is handled by one of them."""
    one, two = Seen(), Seen()
    options = ConsumerOptions(batch=1)

    async def scenario(client: redis.Redis) -> None:
        async with (
            consuming(server, one, options=options),
            consuming(server, two, consumer="gw-2", options=options),
        ):
            for number in range(50):
                publish(client, number)
            await until(lambda: len(one.events) + len(two.events) == 50, "all are handled")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert sorted(one.numbers + two.numbers) == list(range(50))
