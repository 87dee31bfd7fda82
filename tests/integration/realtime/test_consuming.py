"""The consuming half of a gateway: from the stream to recent lists and inboxes, through faults."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import redis
import redis.asyncio

from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.keys import inbox_key
from tests.support.delivering import (
    Told,
    delivering,
    offsets,
    pending,
    publish_to,
    settings_of,
)
from tests.support.events import KEYS, event_fields, parked, publish, write_deployment
from tests.support.servers import Server
from tests.support.wait import until

Scenario = Callable[[redis.Redis, redis.asyncio.Redis], Awaitable[None]]


def _run(server: Server, scenario: Scenario) -> None:
    """Run a scenario with a client that looks on, and one of the instances that are told."""

    async def body(client: redis.Redis) -> None:
        async with redis.asyncio.Redis.from_url(server.url) as of_instances:
            await scenario(client, of_instances)

    with server.client() as client:
        write_deployment(client)
        asyncio.run(body(client))


def test_event__is_in_the_list_and_told_to_instances_of_its_user(any_server: Server) -> None:
    """Each instance that holds the user is told, with the time of the stream entry."""

    async def scenario(client: redis.Redis, of_instances: redis.asyncio.Redis) -> None:
        first, second = Told(of_instances, "gw-8"), Told(of_instances, "gw-9")
        await first.attend("u1", "u2")
        await second.attend("u2")
        async with delivering(any_server.url):
            ids = [publish(client, n, user=f"u{n}")[0] for n in (1, 2, 3)]
            of_first, of_second = await first.tellings(2), await second.tellings(1)
            await until(lambda: pending(client) == 0, "all are acknowledged")
        assert [told.user for told in of_first] == ["u1", "u2"]
        assert [told.user for told in of_second] == ["u2"]
        assert [told.at_ms for told in of_first] == [int(i.partition("-")[0]) for i in ids[:2]]
        assert [told.cursor.offset for told in of_first] == [1, 1]
        assert [offsets(client, f"u{n}") for n in (1, 2, 3)] == [[(1, n)] for n in (1, 2, 3)]

    _run(any_server, scenario)


def test_event__of_another_channel_is_passed_over(any_server: Server) -> None:
    """What users do not see here is acknowledged; a channel that nobody has is no error."""
    settings = settings_of(any_server.url, channels=["in_app", "unknown"])

    async def scenario(client: redis.Redis, _: redis.asyncio.Redis) -> None:
        async with delivering(settings):
            publish(client, 1)
            name = f"{2:032x}/in_app:u1"
            client.xadd(KEYS.stream, event_fields(2, event_id=name))
            await until(lambda: offsets(client, "u1") == [(1, 2)], "the other one is in the list")
            await until(lambda: pending(client) == 0, "both are acknowledged")

    _run(any_server, scenario)


def test_instance__without_an_inbox_leaves_the_presence(any_server: Server) -> None:
    """One that is gone is told once in vain; another one of the same user stays."""

    async def scenario(client: redis.Redis, of_instances: redis.asyncio.Redis) -> None:
        stays, gone = Told(of_instances, "gw-8"), Told(of_instances, "gw-9")
        await stays.attend("u1")
        await gone.attend("u1", "u2", "u3")
        await gone.inbox.close()
        async with delivering(any_server.url):
            publish(client, 1, user="u1")
            publish(client, 2, user="u2")
            await stays.tellings(1)
            await until(lambda: not client.exists(KEYS.presence("u2")), "it left the presence")
            await until(lambda: client.zrange(KEYS.presence("u1"), 0, -1) == [b"gw-8"], "it left")
        assert client.zrange(KEYS.presence("u3"), 0, -1) == [b"gw-9"]
        assert not client.exists(inbox_key("gn", "gw-9"))

    _run(any_server, scenario)


def test_list__of_another_type_is_replaced_and_its_neighbours_are_exact(
    any_server: Server,
) -> None:
    """One user's key of another type in a batch of 128 is replaced; others get each event once."""
    users = [f"u{n}" for n in range(32)]

    async def scenario(client: redis.Redis, of_instances: redis.asyncio.Redis) -> None:
        told = Told(of_instances, "gw-9")
        await told.attend(*users)
        async with delivering(any_server.url):
            publish_to(client, range(32), users)
            await told.tellings(32)
            client.set(KEYS.recent("u7"), "x")
            client.delete(KEYS.presence("u9"))
            client.set(KEYS.presence("u9"), "x")
            publish_to(client, range(32, 160), users)
            await until(lambda: pending(client) == 0 and offsets(client, "u31")[4:], "all came")
            tellings = await told.tellings(124)
        for place, user in enumerate(users):
            numbers = list(range(place, 160, 32))
            expected = numbers[1:] if user == "u7" else numbers
            assert offsets(client, user) == list(enumerate(expected, 1)), user
        assert len({one.cursor.epoch for one in tellings if one.user == "u7"}) == 1
        assert parked(client) == []

    _run(any_server, scenario)


def test_event__that_is_corrupt_is_parked_beside_its_neighbours(any_server: Server) -> None:
    """An unreadable payload is parked at its first delivery, with the reason."""

    async def scenario(client: redis.Redis, _: redis.asyncio.Redis) -> None:
        publish(client, 1)
        client.xadd(KEYS.stream, event_fields(2, payload_bytes=b"\xc1"))
        client.xadd(KEYS.stream, event_fields(3, event_id="no event id"))
        publish(client, 4)
        async with delivering(any_server.url):
            await until(lambda: pending(client) == 0 and len(parked(client)) == 2, "all ended")
        assert offsets(client, "u1") == [(1, 1), (2, 4)]
        assert {fields[b"deliveries"] for fields in parked(client)} == {b"1"}

    _run(any_server, scenario)


def test_group__begins_with_what_lists_may_hold(any_server: Server) -> None:
    """Events that are older than the history are not delivered when the group is made."""
    settings = settings_of(any_server.url, history_ms=3_600_000)

    async def scenario(client: redis.Redis, _: redis.asyncio.Redis) -> None:
        client.xadd(KEYS.stream, event_fields(1), id="1000-1")
        publish(client, 2)
        async with delivering(settings):
            await until(lambda: pending(client) == 0 and offsets(client, "u1"), "one came")
        assert offsets(client, "u1") == [(1, 2)]
        assert not client.exists(KEYS.seen(REALTIME_GROUP))

    _run(any_server, scenario)


def test_consumer__leaves_no_name_behind(any_server: Server) -> None:
    """At a stop the name of the instance leaves the group; with something pending it stays."""

    async def scenario(client: redis.Redis, _: redis.asyncio.Redis) -> None:
        async with delivering(any_server.url), delivering(any_server.url, "gw-2"):
            publish(client, 1)
            await until(lambda: pending(client) == 0 and offsets(client, "u1"), "it came")
            client.xgroup_createconsumer(KEYS.stream, REALTIME_GROUP, "gw-2")
            publish(client, 2)
            client.xreadgroup(REALTIME_GROUP, "gw-3", {KEYS.stream: ">"})
        consumers = client.xinfo_consumers(KEYS.stream, REALTIME_GROUP)
        # The second event may have come to one that was stopping, and waits for another one.
        idle = {row["name"] for row in consumers if row["pending"] == 0}
        assert idle <= {b"gw-3"}

    _run(any_server, scenario)
