"""The consumer of the gateway stream: every event reaches its handler, and what can't is parked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.gateway import ConsumerOptions, Event, GatewayConsumer
from galaxy_notify.redis_state.keys import Keys
from tests.support.events import (
    KEYS,
    QUICK,
    Seen,
    consuming,
    event_fields,
    event_id,
    found,
    pending,
    publish,
)
from tests.support.servers import Server
from tests.support.wait import until


def parked(client: redis.Redis, keys: Keys = KEYS) -> list[dict[bytes, bytes]]:
    rows: Any = client.xrange(keys.parked)
    return [fields for _, fields in rows]


def idle_pending(client: redis.Redis) -> list[dict[str, Any]]:
    rows: Any = client.xpending_range(KEYS.stream, "gateway", "-", "+", 100)
    return list(rows)


def test_consumer__delivers_from_the_beginning_in_order(any_server: Server) -> None:
    """A new group is given everything that is still in the stream, in its order."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(200))
        async with consuming(any_server, seen):
            await until(lambda: len(seen.events) == 200, "all events are handled")
            await until(lambda: pending(client) == 0, "all are acknowledged")
            publish(client, 200)
            await until(lambda: len(seen.events) == 201, "a later event is handled")

    with any_server.client() as client:
        found(client)
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
            assert sorted(await gateway.report()) == [0, 1, 2]

    with any_server.client() as client:
        found(client, shards=3)
        asyncio.run(scenario(client))
        assert [pending(client, keys=keys) for keys in shards] == [0, 0, 0]
    assert sorted(seen.numbers) == list(range(30))
    assert {event.shard for event in seen.events} == {0, 1, 2}


def test_consumer__waits_for_a_deployment(server: Server) -> None:
    """A gateway may start before anything was accepted, and before Redis is there."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        async with consuming(server, seen):
            found(client, stream="events")
            publish(client, 1, keys=Keys("gn", 0, "events"))
            await until(lambda: seen.numbers == [1], "the event is handled")

    with server.client() as client:
        asyncio.run(scenario(client))


def test_consumer__handles_a_repeated_event_once(any_server: Server) -> None:
    """An event that stands in the stream twice is handled once, whether read together or later."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 1, 2)
        async with consuming(any_server, seen):
            await until(lambda: pending(client) == 0 and len(seen.events) == 2, "read together")
            publish(client, 2, 1, 3)
            await until(lambda: pending(client) == 0 and len(seen.events) == 3, "read later")

    with any_server.client() as client:
        found(client)
        asyncio.run(scenario(client))
    assert seen.numbers == [1, 2, 3]


def test_consumer__redelivers_what_a_dead_consumer_left(any_server: Server) -> None:
    """What a consumer had in hand when it died goes to another one; what it finished does not."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        client.zadd(KEYS.seen("gateway"), {event_id(2): 1_900_000_000_000})
        async with consuming(any_server, seen):
            publish(client, 4)
            await until(lambda: pending(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        found(client)
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
            await until(lambda: pending(client) == 0, "its own event is acknowledged")

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))
    assert seen.numbers == [1]


def test_consumer__parks_what_cannot_be_read(any_server: Server) -> None:
    """An entry that nobody can read is parked with the reason; its neighbours come on time."""
    seen = Seen()
    broken: list[dict[Any, Any]] = [
        {"nothing": "of ours"},
        event_fields(1, event_id="not an id"),
        event_fields(1, user_id=b"\xff"),
        {k: v for k, v in event_fields(1).items() if k != "payload_bytes"},
    ]

    async def scenario(client: redis.Redis) -> None:
        for number, fields in enumerate(broken):
            client.xadd(KEYS.stream, fields)
            publish(client, 10 + number)
        async with consuming(any_server, seen):
            await until(lambda: pending(client) == 0 and len(seen.events) == 4, "neighbours")

    with any_server.client() as client:
        found(client)
        asyncio.run(scenario(client))
        reasons = [fields[b"reason"] for fields in parked(client)]
    assert seen.numbers == [10, 11, 12, 13]
    assert [event.deliveries for event in seen.events] == [1, 1, 1, 1]
    assert reasons == [
        b"event_id: missing",
        b"event_id: not the id of an event",
        b"user_id: not UTF-8",
        b"payload_bytes: missing",
    ]


def test_consumer__parks_an_unreadable_payload_at_once(server: Server) -> None:
    """A payload that the handler cannot read is parked at its first delivery."""
    payloads: list[Any] = []

    async def handler(event: Event) -> None:
        payloads.append(event.payload)

    async def scenario(client: redis.Redis) -> None:
        client.xadd(KEYS.stream, event_fields(1, payload_bytes=b"\xc1"))
        publish(client, 2)
        async with consuming(server, handler):
            await until(lambda: len(payloads) == 1 and pending(client) == 0, "the neighbour")

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert fields[b"deliveries"] == b"1"
    assert fields[b"reason"].startswith(b"payload: ")


def test_consumer__parks_what_fails_again_and_again(any_server: Server) -> None:
    """A failing event is delivered again until it has failed too often; neighbours do not wait."""
    seen = Seen(2)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        async with consuming(any_server, seen):
            await until(lambda: len(parked(client)) == 1, "the poison is parked")
            await until(lambda: pending(client) == 0, "nothing is pending")

    with any_server.client() as client:
        found(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert seen.numbers == [1, 2, 3, 2, 2]
    assert fields[b"deliveries"] == b"3"
    assert fields[b"reason"] == b"ValueError: no such user"
    assert fields[b"entry.event_id"] == event_id(2).encode()


def test_consumer__parks_what_kills_its_consumers(server: Server) -> None:
    """An event that no delivery ever ended is parked before a further handler sees it."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        (poison,) = publish(client, 1)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        client.xclaim(KEYS.stream, "gateway", "dead", 0, [poison], retrycount=3)
        async with consuming(server, seen):
            await until(lambda: pending(client) == 0, "it is parked")

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert seen.events == []
    assert fields[b"reason"] == b"not handled in 3 deliveries"


def test_consumer__handler_that_hangs(server: Server) -> None:
    """A handler that takes too long has failed; the others go on meanwhile."""
    done: list[str] = []

    async def handler(event: Event) -> None:
        if event.user_id == "slow":
            await asyncio.Event().wait()
        done.append(event.event_id)

    options = ConsumerOptions(
        reclaim_idle_s=0.6, handler_timeout_s=0.2, retry_min_s=0.05, max_deliveries=2, concurrency=4
    )

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, user="slow")
        publish(client, 2, 3, 4)
        async with consuming(server, handler, options=options):
            await until(lambda: len(parked(client)) == 1, "the slow one is parked")

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))
        assert parked(client)[0][b"reason"] == b"the handler took too long"
    assert done == [event_id(2), event_id(3), event_id(4)]


def test_consumer__keeps_each_users_order(server: Server) -> None:
    """With many handlers at a time, each user's events still come in their order."""
    given: dict[str, list[int]] = {}

    async def handler(event: Event) -> None:
        number = event.payload["data"]["number"]
        for _ in range(number % 5):
            await asyncio.sleep(0)
        given.setdefault(event.user_id, []).append(number)

    async def scenario(client: redis.Redis) -> None:
        for number in range(100):
            publish(client, number, user=f"u{number % 7}")
        async with consuming(server, handler, options=ConsumerOptions(concurrency=8)):
            await until(lambda: sum(map(len, given.values())) == 100, "all are handled")

    with server.client() as client:
        found(client)
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
            await until(lambda: pending(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        found(client)
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
            found(client)
            publish(client, 3)
            await until(lambda: seen.numbers == [1, 2, 3], "the event after everything went")
            client.delete(KEYS.stream)
            publish(client, 4)
            await until(lambda: seen.numbers == [1, 2, 3, 4], "the event after the stream went")
            await until(lambda: pending(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        found(client)
        asyncio.run(scenario(client))


def test_consumer__trimmed_while_pending(any_server: Server) -> None:
    """A pending entry that was trimmed is given up; it holds nobody up."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        client.xtrim(KEYS.stream, maxlen=0, approximate=False)
        publish(client, 3)
        async with consuming(any_server, seen):
            await until(lambda: idle_pending(client) == [], "nothing is pending")
            await until(lambda: seen.numbers == [3], "the next event")

    with any_server.client() as client:
        found(client)
        asyncio.run(scenario(client))


def test_consumer__stop_finishes_what_is_in_hand(server: Server) -> None:
    """A stop lets the handler end, acknowledges it, and leaves the rest to be taken at once."""
    began, may_end = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def handler(event: Event) -> None:
        began.set()
        await may_end.wait()
        done.append(event.event_id)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        patient = ConsumerOptions(reclaim_idle_s=600)
        async with consuming(server, handler, options=patient) as gateway:
            await began.wait()
            gateway.stop()
            may_end.set()
        assert done == [event_id(1)]
        (left,) = idle_pending(client)
        assert left["times_delivered"] == 1
        assert left["time_since_delivered"] >= 600_000
        seen = Seen()
        async with consuming(server, seen, consumer="gw-2", options=patient):
            await until(lambda: seen.numbers == [2], "another consumer has the rest")

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))


def test_consumer__stop_bounds_a_handler(server: Server) -> None:
    """A handler that does not end in time is ended; its event stays pending."""
    began = asyncio.Event()

    async def handler(_: Event) -> None:
        began.set()
        await asyncio.Event().wait()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        options = ConsumerOptions(stop_within_s=0.1)
        async with consuming(server, handler, options=options) as gateway:
            await began.wait()
            gateway.stop()
        assert pending(client) == 1

    with server.client() as client:
        found(client)
        asyncio.run(scenario(client))


def test_consumer__cancelled(server: Server) -> None:
    """A cancelled run ends like a stopped one: what is in hand is acknowledged first."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def handler(_: Event) -> None:
        began.set()
        await may_end.wait()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        async with GatewayConsumer.from_url(
            server.url, group="gateway", consumer="gw-1", options=QUICK
        ) as gateway:
            running = asyncio.ensure_future(gateway.run(handler))
            await began.wait()
            running.cancel()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert pending(client) == 0

    with server.client() as client:
        found(client)
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
        found(client)
        asyncio.run(scenario(client))
    assert sorted(one.numbers + two.numbers) == list(range(50))


def test_consumer__refuses_names_and_options() -> None:
    """Names that would make odd keys, and options that cannot work, are refused."""
    with pytest.raises(ConfigurationError, match="group"):
        GatewayConsumer.from_url("redis://x", group="a b", consumer="c")
    with pytest.raises(ConfigurationError, match="consumer"):
        GatewayConsumer.from_url("redis://x", group="a", consumer="")
    with pytest.raises(ConfigurationError, match="batch"):
        ConsumerOptions(batch=0)
    with pytest.raises(ConfigurationError, match="handler_timeout_s"):
        ConsumerOptions(reclaim_idle_s=1, handler_timeout_s=1)


def test_consumer__refused_by_redis(server: Server) -> None:
    """A missing permission at the start is a matter of configuration, not of waiting."""

    async def scenario() -> None:
        async with GatewayConsumer.from_url(
            server.url, group="gateway", consumer="gw-1", username="mute", password="secret"
        ) as gateway:
            await gateway.run(Seen())

    with server.client() as client:
        client.acl_setuser("mute", enabled=True, passwords=["+secret"], commands=["+client"])
        try:
            with pytest.raises(ConfigurationError, match="NOPERM"):
                asyncio.run(scenario())
        finally:
            client.acl_deluser("mute")
