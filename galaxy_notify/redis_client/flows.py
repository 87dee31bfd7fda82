"""Work in several round trips, written once for synchronous and asynchronous connections.

A flow yields the calls of one round trip and is sent a reply, or a fault, for each.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import redis
import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_all, run_all_sync
from galaxy_notify.redis_client.scripts import Call, Read

T = TypeVar("T")
# Why generators: docs/decisions/0010-flows-without-io.md
Flow = Generator[Sequence[Call | Read], list[Any], T]


def run_flow_sync(client: redis.Redis, flow: Flow[T]) -> T:
    """Run a flow to its end and return its result; raise `RedisFault`."""
    try:
        asked = next(flow)
        while True:
            asked = flow.send(run_all_sync(client, asked) if asked else [])
    except StopIteration as end:
        result: T = end.value
        return result


async def run_flow(client: redis.asyncio.Redis, flow: Flow[T]) -> T:
    """Run a flow to its end and return its result; raise `RedisFault`."""
    try:
        asked = next(flow)
        while True:
            asked = flow.send(await run_all(client, asked) if asked else [])
    except StopIteration as end:
        result: T = end.value
        return result


def sound(reply: Any) -> Any:
    """Return a reply; raise the fault in its place."""
    if isinstance(reply, RedisFault):
        raise reply
    return reply


def sound_or(reply: Any, absent: Any) -> Any:
    """Return a reply; *absent* for a key of another type, which holds nothing of ours."""
    if isinstance(reply, RedisFault) and reply.fault.code == "WRONGTYPE":
        return absent
    return sound(reply)
