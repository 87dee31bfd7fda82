"""What a handler of batches answers: failed events come again alone, the others are done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway import Event
from tests.support.events import (
    KEYS,
    SeenBatches,
    consuming_batches,
    event_fields,
    event_id,
    number_of,
    parked,
    pending,
    publish,
    unfinished,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


def test_batches__a_failed_part_is_delivered_again(any_server: Server) -> None:
    """Only the failed events come again, each alone; the others are acknowledged at once."""
    seen = SeenBatches(2, 4)

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(6))
        async with consuming_batches(any_server, seen):
            await until(lambda: pending(client) == 2, "the others are acknowledged")
            seen.failing.clear()
            await until(lambda: unfinished(client) == 0, "the failed ones are handled")

    with any_server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        assert parked(client) == []
    assert seen.numbers[0] == list(range(6))
    assert all(len(numbers) == 1 for numbers in seen.numbers[1:])
    assert set(seen.flat[6:]) == {2, 4}


def test_batches__poison_among_good_events(any_server: Server) -> None:
    """An event that makes its batch raise is parked; its neighbours are handled."""
    done: list[int] = []

    async def handler(events: list[Event]) -> None:
        if any(number_of(event) == 2 for event in events):
            raise ValueError("no such user")
        done.extend(map(number_of, events))

    async def scenario(client: redis.Redis) -> None:
        publish(client, *range(6))
        client.xadd(KEYS.stream, {"nothing": "of ours"})
        async with consuming_batches(any_server, handler):
            await until(lambda: len(parked(client)) == 2, "the poison is parked")
            await until(lambda: unfinished(client) == 0, "the neighbours are acknowledged")

    with any_server.client() as client, capture_logs() as logs:
        write_deployment(client)
        asyncio.run(scenario(client))
        unreadable, poison = parked(client)
    assert sorted(done) == [0, 1, 3, 4, 5]
    assert unreadable[b"reason"] == b"event_id: missing"
    assert poison[b"deliveries"] == b"3"
    assert poison[b"reason"] == b"ValueError: no such user"
    assert [log["events"] for log in logs if log["event"] == "batch failed"] == [6]


def test_batches__corrupt_payload(server: Server) -> None:
    """A payload that the handler cannot read fails its batch once, and is parked when alone."""
    done: list[int] = []

    async def handler(events: list[Event]) -> None:
        done.extend([event.payload["data"]["number"] for event in events])

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        client.xadd(KEYS.stream, event_fields(2, payload_bytes=b"\xc1"))
        publish(client, 3)
        async with consuming_batches(server, handler):
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert sorted(done) == [1, 3]
    assert fields[b"deliveries"] == b"2"


def test_batches__a_failure_that_is_final(server: Server) -> None:
    """A `Corrupt` in the answer parks its event at once, with its text."""

    async def handler(events: list[Event]) -> dict[str, Exception]:
        return {event_id(1): Corrupt("no such game")} if len(events) > 1 else {}

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        async with consuming_batches(server, handler):
            await until(lambda: unfinished(client) == 0, "nothing is pending")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))
        (fields,) = parked(client)
    assert (fields[b"deliveries"], fields[b"reason"]) == (b"1", b"no such game")


class Odd(Mapping[str, object]):
    """A mapping that cannot be read."""

    def __getitem__(self, key: str) -> object:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("not now")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"0-1": "x"}, "failures of 1 events that it was not given: '0-1'"),
        ({event_id(1): "x", 7: "y"}, "failures of 1 events that it was not given: 7"),
        ([event_id(1)], "list, not a mapping of failures or None"),
        (Odd(), "what cannot be read: RuntimeError: not now"),
    ],
)
def test_batches__an_answer_that_cannot_be_used(server: Server, answer: Any, reason: str) -> None:
    """It is logged once as an error; nothing of the batch is acknowledged, so nothing is lost."""
    batches: list[list[int]] = []

    async def handler(events: list[Event]) -> Mapping[str, object] | None:
        batches.append([number_of(event) for event in events])
        wrong: Mapping[str, object] = answer
        return wrong if len(events) > 1 else None

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2, 3)
        async with consuming_batches(server, handler):
            await until(lambda: unfinished(client) == 0, "all came again alone")

    with server.client() as client, capture_logs() as logs:
        write_deployment(client)
        asyncio.run(scenario(client))
    assert [log["reason"] for log in logs if log["log_level"] == "error"] == [
        f"the handler returned {reason}"
    ]
    assert batches[0] == [1, 2, 3]
    assert sorted(batches[1:]) == [[1], [2], [3]]
