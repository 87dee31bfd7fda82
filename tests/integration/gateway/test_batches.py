"""The consumer of batches: what a batch holds, and how it ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.gateway import ConsumerOptions, Event, GatewayConsumer
from galaxy_notify.redis_client.faults import RedisFault, fault_in
from tests.support.events import (
    KEYS,
    PATIENT,
    SeenBatches,
    consuming_batches,
    event_id,
    leave_idle,
    number_of,
    parked,
    pending,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


def test_batches__hold_what_there_is_in_order(any_server: Server) -> None:
    """A backlog comes in order, at most 500 events at once; a single event comes alone."""
    seen = SeenBatches()

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(700))
        async with consuming_batches(any_server, seen):
            await until(lambda: len(seen.flat) == 700, "the backlog is handled")
            await until(lambda: unfinished(client) == 0, "all are acknowledged")
            publish(client, 700)
            await until(lambda: len(seen.flat) == 701, "a later event is handled")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert [len(batch) for batch in seen.batches] == [500, 200, 1]
    assert seen.flat == list(range(701))


def test_batches__handle_a_repeated_event_once(any_server: Server) -> None:
    """An event that stands in the stream twice is handled once, whether read together or later."""
    seen = SeenBatches()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 1, 2)
        async with consuming_batches(any_server, seen):
            await until(lambda: unfinished(client) == 0 and len(seen.flat) == 2, "read together")
            publish(client, 2, 1, 3)
            await until(lambda: unfinished(client) == 0 and len(seen.flat) == 3, "read later")
            client.xgroup_setid(KEYS.stream, "gateway", "0")
            publish(client, 4)
            await until(lambda: unfinished(client) == 0 and len(seen.flat) == 4, "set back")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.flat == [1, 2, 3, 4]


def test_batches__a_repeat_of_a_failed_event_is_handled(server: Server) -> None:
    """Where the first of two entries of an event failed, the second one is its next delivery."""
    seen = SeenBatches(1)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 1, 2)
        async with consuming_batches(server, seen):
            await until(lambda: len(seen.batches) > 1, "the second entry is tried")
            seen.failing.clear()
            await until(lambda: unfinished(client) == 0, "all are acknowledged")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert seen.numbers[:2] == [[1, 2], [1]]


def test_batches__take_over_from_a_dead_consumer(any_server: Server) -> None:
    """What a consumer had in hand when it died goes to another one, together once."""
    seen = SeenBatches()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        entries: Any = client.xrange(KEYS.stream)
        client.xclaim(KEYS.stream, "gateway", "dead, too", 0, [entries[0][0]])
        client.zadd(KEYS.seen("gateway"), {event_id(2): 1_900_000_000_000})
        publish(client, 5)
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        leave_idle(client)
        async with consuming_batches(any_server, seen):
            publish(client, 4)
            await until(lambda: unfinished(client) == 0, "everything is acknowledged")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert sorted(seen.numbers) == [[1], [3, 5], [4]]
    deliveries = {number_of(event): event.deliveries for some in seen.batches for event in some}
    assert deliveries == {1: 3, 3: 2, 4: 1, 5: 2}


def test_batches__handler_that_hangs(server: Server) -> None:
    """A batch over its limit has failed, and its events are delivered again alone."""
    done: list[int] = []

    async def handler(events: list[Event]) -> None:
        if len(events) > 1:
            await asyncio.Event().wait()
        done.extend(map(number_of, events))

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        options = replace(PATIENT, handler_timeout_s=0.2)
        async with consuming_batches(server, handler, options=options):
            await until(lambda: unfinished(client) == 0, "both are acknowledged")

    with server.client() as client, capture_logs() as logs:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert sorted(done) == [1, 2]
    assert [log["reason"] for log in logs if log["event"] == "batch failed"] == [
        "the handler timed out"
    ]


def test_batches__stop_finishes_the_batch_in_hand(server: Server) -> None:
    """A stop lets the batch end and acknowledges what did not fail; the rest is released."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def handler(_: list[Event]) -> dict[str, object]:
        began.set()
        await may_end.wait()
        return {event_id(2): "no such user"}

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(4))
        patient = ConsumerOptions(reclaim_idle_s=600, batch_max=3)
        async with consuming_batches(server, handler, options=patient) as gateway:
            await began.wait()
            gateway.stop()
            may_end.set()
        (left,) = pending_entries(client)
        assert left["times_delivered"] == 1
        leave_idle(client)
        seen = SeenBatches()
        async with consuming_batches(server, seen, consumer="gw-2"):
            await until(lambda: sorted(seen.flat) == [2, 3], "the rest comes again")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_batches__stop_bounds_a_handler(server: Server) -> None:
    """A batch that does not end in time is ended; its events stay pending."""
    began = asyncio.Event()

    async def handler(_: list[Event]) -> None:
        began.set()
        await asyncio.Event().wait()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        options = ConsumerOptions(stop_within_s=0.1)
        async with consuming_batches(server, handler, options=options) as gateway:
            await began.wait()
            gateway.stop()
        assert pending(client) == 2

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_batches__refused_options(server: Server) -> None:
    """A batch is bounded, and must be able to come again event by event."""
    with pytest.raises(ConfigurationError, match="batch_max: 501 is more than 500"):
        ConsumerOptions(batch_max=501)

    async def scenario() -> None:
        options = ConsumerOptions(max_deliveries=1)
        async with GatewayConsumer.from_url(
            server.url, group="gateway", consumer="gw-1", options=options
        ) as gateway:
            await gateway.run_batches(SeenBatches())

    with pytest.raises(ConfigurationError, match="max_deliveries"):
        asyncio.run(scenario())


def test_batches__what_redis_did_not_take_is_no_delivery(any_server: Server) -> None:
    """An event whose handler names a fault of Redis comes again alone, as if for the first time,
    until it is taken; its neighbours are acknowledged.
    """
    given: list[tuple[int, int]] = []

    async def handler(events: list[Event]) -> dict[str, object]:
        given.extend((number_of(event), event.deliveries) for event in events)
        is_away = sum(number == 2 for number, _ in given) < 6
        fault = RedisFault(fault_in("CLUSTERDOWN The cluster is down"))
        away = {event.event_id: fault for event in events if is_away and number_of(event) == 2}
        if away and len(events) == 1:
            raise fault
        return {**away}

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        async with consuming_batches(any_server, handler):
            await until(lambda: unfinished(client) == 0 and len(given) == 8, "all are handled")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        assert parked(client) == []
    assert given == [(1, 1), (2, 1), (3, 1), *[(2, 1)] * 5]
