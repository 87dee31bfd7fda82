"""Gateway events for tests: a deployment to read, entries as a daemon writes them, a consumer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgpack
import redis

from galaxy_notify.gateway import ConsumerOptions, Event, GatewayConsumer
from galaxy_notify.gateway.event import decode_event
from galaxy_notify.gateway.handler import BatchHandler, Handler
from galaxy_notify.redis_client.connection import async_client
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from tests.support.servers import Server

#: Failed events come again soon, but on a busy machine none is late for its handler.
PATIENT = ConsumerOptions(retry_min_s=0.05, retry_max_s=0.1, max_deliveries=3)
#: Longer than any consumer waits before it takes over what another one has in hand.
_LONG_MS = 3_600_000
KEYS = Keys("gn", 0)


def write_deployment(client: redis.Redis, **fields: Any) -> SharedSettings:
    """Found a deployment with these fields."""
    shared = SharedSettings(**fields)
    meta: dict[Any, Any] = {**shared.as_meta()}
    for shard in range(shared.shards):
        client.hset(Keys("gn", shard).meta, mapping=meta)
    return shared


def notification_id(number: int) -> str:
    """Return the id of a test's notification."""
    return f"{number:032x}"


def event_id(number: int, user: str = "u1") -> str:
    """Return the id of the event of a test's notification."""
    return f"{notification_id(number)}/push:{user}"


def event_fields(number: int, user: str = "u1", **changed: bytes | str) -> dict[Any, Any]:
    """Return the fields of an event as the daemon writes them."""
    payload = {
        "notification_id": notification_id(number),
        "type": "game.ready",
        "producer": "lobby",
        "severity": "info",
        "data": {"number": number},
        "created_at_ms": 1_900_000_000_000,
    }
    return {
        "user_id": user,
        "event_type": "game.ready",
        "event_id": event_id(number, user),
        "payload_bytes": msgpack.packb(payload),
        **changed,
    }


def publish(client: redis.Redis, *numbers: int, keys: Keys = KEYS, user: str = "u1") -> list[str]:
    """Add events to a shard's stream and return their stream ids."""
    ids: list[Any] = [client.xadd(keys.stream, event_fields(n, user)) for n in numbers]
    return [stream_id.decode() for stream_id in ids]


def event_of(number: int, user: str = "u1") -> Event:
    """Return the event of a test's notification as a consumer reads it first."""
    fields = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in event_fields(number, user).items()
    }
    return decode_event(Entry("1-1", fields, 1), KEYS.stream, KEYS.shard)


def join(server: Server, group: str = "gateway") -> bool:
    """Make the group as a consumer does."""

    async def joined() -> bool:
        client = async_client(server.url)
        try:
            return await GroupMember(client, KEYS, group, "gw-1").join()
        finally:
            await client.aclose()

    return asyncio.run(joined())


def pending(client: redis.Redis, group: str = "gateway", keys: Keys = KEYS) -> int:
    """Return how many entries a group has not acknowledged, -1 where there is no group."""
    try:
        summary: Any = client.xpending(keys.stream, group)
    except redis.ResponseError:
        return -1
    return int(summary["pending"])


def unfinished(client: redis.Redis, group: str = "gateway", keys: Keys = KEYS) -> int:
    """Return how many entries a group has not acknowledged or not been given yet.

    Whoever waits for the end of what was published waits for this: before the first entry is given,
    too, nothing is pending. Without the group it is -1.
    """
    try:
        groups: Any = client.xinfo_groups(keys.stream)
    except redis.ResponseError:
        return -1
    for found in groups:
        if found["name"] == group.encode():
            later: Any = client.xrange(keys.stream, b"(" + found["last-delivered-id"], "+")
            return int(found["pending"]) + len(later)
    return -1


def parked(client: redis.Redis, keys: Keys = KEYS) -> list[dict[bytes, bytes]]:
    """Return the fields of the entries that were parked."""
    rows: Any = client.xrange(keys.parked)
    return [fields for _, fields in rows]


def pending_entries(client: redis.Redis) -> list[dict[str, Any]]:
    """Return what the group has not acknowledged, entry by entry."""
    rows: Any = client.xpending_range(KEYS.stream, "gateway", "-", "+", 100)
    return list(rows)


def leave_idle(client: redis.Redis) -> None:
    """Let what the group has not acknowledged have been in the same hands for long."""
    for entry in pending_entries(client):
        owner, ids = entry["consumer"], [entry["message_id"]]
        client.xclaim(KEYS.stream, "gateway", owner, 0, ids, idle=_LONG_MS, justid=True)


class Seen:
    """A handler that writes down what it was given, and fails as told."""

    def __init__(self, *failing: int) -> None:
        self.events: list[Event] = []
        self.failing = set(failing)

    async def __call__(self, event: Event) -> None:
        self.events.append(event)
        if int(event.event_id[:32], 16) in self.failing:
            raise ValueError("no such user")

    def has(self, number: int) -> bool:
        """Tell whether the event of this number was handled."""
        return number in self.numbers

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the events, in the order of their handling."""
        return [int(event.event_id[:32], 16) for event in self.events]


class SeenBatches:
    """A handler of batches that writes down what it was given, and answers as told."""

    def __init__(self, *failing: int) -> None:
        self.batches: list[list[Event]] = []
        self.failing = set(failing)

    async def __call__(self, events: list[Event]) -> dict[str, object] | None:
        self.batches.append(events)
        failed = [event for event in events if number_of(event) in self.failing]
        return {event.event_id: ValueError("no such user") for event in failed} or None

    def has(self, number: int) -> bool:
        """Return whether the event of this number was handled."""
        return number in self.flat

    @property
    def numbers(self) -> list[list[int]]:
        """Return the numbers of the events, batch by batch."""
        return [[number_of(event) for event in events] for events in self.batches]

    @property
    def flat(self) -> list[int]:
        """Return the numbers of the events, in the order of their handling."""
        return [number for numbers in self.numbers for number in numbers]


def number_of(event: Event) -> int:
    """Return the number of a test's notification."""
    return int(event.event_id[:32], 16)


@asynccontextmanager
async def consuming(
    server: Server | str,
    handler: Handler,
    *,
    consumer: str = "gw-1",
    options: ConsumerOptions = PATIENT,
) -> AsyncIterator[GatewayConsumer]:
    """Run a consumer while the block runs, then stop it and let what broke it be raised."""
    async with (
        _gateway(server, consumer, options) as gateway,
        _running(gateway, gateway.run(handler)),
    ):
        yield gateway


@asynccontextmanager
async def consuming_batches(
    server: Server | str,
    handler: BatchHandler,
    *,
    consumer: str = "gw-1",
    options: ConsumerOptions = PATIENT,
) -> AsyncIterator[GatewayConsumer]:
    """Run a consumer of batches as `consuming` does."""
    async with (
        _gateway(server, consumer, options) as gateway,
        _running(gateway, gateway.run_batches(handler)),
    ):
        yield gateway


def _gateway(server: Server | str, consumer: str, options: ConsumerOptions) -> GatewayConsumer:
    url = server if isinstance(server, str) else server.url
    return GatewayConsumer.from_url(url, group="gateway", consumer=consumer, options=options)


@asynccontextmanager
async def _running(gateway: GatewayConsumer, run: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    running = asyncio.ensure_future(run)
    try:
        yield
    finally:
        gateway.stop()
        await running
