"""Work in several round trips, written once for synchronous and asynchronous connections.

A flow is a generator that yields what Redis is to be asked:

- `Send`: this call may be written now. The flow is resumed at once, without an answer, and plans
  its next call while the server works on this one.
- a sequence of calls: the round trip ends. The flow is resumed with a reply, or the fault in its
  place, for each call that was sent since the last one and then for each of these, in order.

A flow never runs inside the code that holds a connection. Its errors and interruptions reach its
driver, which drops a connection with unread replies.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import redis
import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.replies import field_values
from galaxy_notify.redis_client.runner import Ask, run_all, run_all_sync
from galaxy_notify.redis_client.scripts import Command, ScriptCall

T = TypeVar("T")


class Send(NamedTuple):
    """A call to write at once; its reply comes with those of the next sequence of calls."""

    call: ScriptCall


# Why generators: docs/decisions/0010-flows-without-io.md
Request: TypeAlias = Send | Sequence[ScriptCall | Command]
Flow = Generator[Request, list[Any], T]


def run_flow_sync(client: redis.Redis, flow: Flow[T]) -> T:
    """Run a flow to its end and return its result; raise `RedisFault`.

    For operators, who wait for single answers: what is sent waits for its round trip.
    """
    sent: list[ScriptCall] = []
    try:
        request = next(flow)
        while True:
            if isinstance(request, Send):
                sent.append(request.call)
                request = next(flow)
                continue
            calls, sent = [*sent, *request], []
            request = flow.send(run_all_sync(client, calls) if calls else [])
    except StopIteration as end:
        result: T = end.value
        return result


async def run_flow(client: redis.asyncio.Redis, flow: Flow[T]) -> T:
    """Run a flow to its end and return its result; see `run_flow_sync`."""
    return await run_flow_with(partial(run_all, client), flow)


async def run_flow_with(ask: Ask, flow: Flow[T]) -> T:
    """Run a flow to its end by round trips that *ask* makes; see `run_flow_sync`."""
    sent: list[ScriptCall] = []
    try:
        request = next(flow)
        while True:
            if isinstance(request, Send):
                sent.append(request.call)
                request = next(flow)
                continue
            calls, sent = [*sent, *request], []
            request = flow.send(await ask(calls) if calls else [])
    except StopIteration as end:
        result: T = end.value
        return result


def unwrap(reply: Any) -> Any:
    """Return a reply; raise the fault in its place."""
    if isinstance(reply, RedisFault):
        raise reply
    return reply


def unwrap_or(reply: Any, absent: Any) -> Any:
    """Return a reply; *absent* for a key of another type, which does not hold our data."""
    if isinstance(reply, RedisFault) and reply.fault.code == "WRONGTYPE":
        return absent
    return unwrap(reply)


def values_of(reply: Any, count: int) -> Sequence[bytes | None]:
    """Return what HMGET answers for *count* fields; nothing for a key of another type."""
    with as_fault("HMGET"):
        return field_values(unwrap_or(reply, [None] * count), count)
