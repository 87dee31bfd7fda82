"""What a consumer cannot handle is parked with the reason, and holds nobody up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from galaxy_notify.gateway import ConsumerOptions, Event
from tests.support.events import (
    KEYS,
    Seen,
    consuming,
    event_fields,
    event_id,
    leave_idle,
    parked,
    pending_entries,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


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
            await until(lambda: unfinished(client) == 0 and len(seen.events) == 4, "neighbours")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        reasons = [fields[b"reason"] for fields in parked(client)]
    assert seen.numbers == [10, 11, 12, 13]
    assert [event.deliveries for event in seen.events] == [1, 1, 1, 1]
    assert reasons == [
        b"event_id: missing",
        b"event_id: not an event id",
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
            await until(lambda: len(payloads) == 1 and unfinished(client) == 0, "the neighbour")

    with server.client() as client:
        write_deployment(client)
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
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert seen.numbers == [1, 2, 3, 2, 2]
    assert fields[b"deliveries"] == b"3"
    assert fields[b"reason"] == b"ValueError: no such user"
    assert fields[b"entry.event_id"] == event_id(2).encode()


class Mute(Exception):
    """An error that fails when it is asked what it says."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such name: caf\udce9"), b"ValueError: no such name: caf\\udce9"),
        (Mute(), b"Mute"),
    ],
)
def test_consumer__parks_whatever_a_handler_raises(
    server: Server, error: Exception, reason: bytes
) -> None:
    """An error that cannot be written down as it is, or not asked, holds nobody up."""
    seen = Seen()

    async def handler(event: Event) -> None:
        if event.user_id == "odd":
            raise error
        await seen(event)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, user="odd")
        publish(client, 2)
        async with consuming(server, handler):
            await until(lambda: len(parked(client)) == 1, "it is parked")
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert fields[b"reason"] == reason
    assert seen.numbers == [2]


def test_consumer__parks_what_kills_its_consumers(server: Server) -> None:
    """An event that no delivery ever ended is parked before a further handler sees it."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        (poison,) = publish(client, 1)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        client.xclaim(KEYS.stream, "gateway", "dead", 0, [poison], retrycount=3)
        leave_idle(client)
        async with consuming(server, seen):
            await until(lambda: unfinished(client) == 0, "it is parked")

    with server.client() as client:
        write_deployment(client)
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
        handler_timeout_s=0.2, retry_min_s=0.05, max_deliveries=2, concurrency=4
    )

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, user="slow")
        publish(client, 2, 3, 4)
        async with consuming(server, handler, options=options):
            await until(lambda: len(parked(client)) == 1, "the slow one is parked")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        assert parked(client)[0][b"reason"] == b"the handler timed out"
    assert done == [event_id(2), event_id(3), event_id(4)]


def test_consumer__trimmed_while_pending(any_server: Server) -> None:
    """A pending entry that was trimmed is given up; it holds nobody up."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        client.xgroup_create(KEYS.stream, "gateway", "0")
        client.xreadgroup("gateway", "dead", {KEYS.stream: ">"})
        leave_idle(client)
        client.xtrim(KEYS.stream, maxlen=0, approximate=False)
        publish(client, 3)
        async with consuming(any_server, seen):
            await until(lambda: pending_entries(client) == [], "nothing is pending")
            await until(lambda: seen.numbers == [3], "the next event")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
