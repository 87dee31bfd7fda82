"""Histories as a sound deployment writes them, for the checker to be lied to about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgpack

from galaxy_notify.model.route import Failure, decode_route, initial_state
from tests.faults.support.aof import Command, Transition
from tests.faults.support.checker import Rest
from tests.faults.support.journal import Journal

DUE = 1_900_000_000_000
ID = "0" * 31 + "1"
MEMBER = f"{ID}/push:u1"
WORKER = "host-1-abcd"
TOKEN = f"{WORKER}:0:30000:0011"
LAPSES = b"1900000030000.5"
INTENT: dict[str, Any] = {
    "type": "t",
    "producer": "p",
    "recipients": ["u1"],
    "data": {"n": 1},
    "due_at": DUE,
}
PAYLOAD = {"notification_id": ID, "type": "t", "producer": "p", "data": {"n": 1}}
_KEY = b"{gn:0}:notification:" + ID.encode()
_SCHEDULE, _LEASES = b"{gn:0}:schedule:push", b"{gn:0}:leases:push"
_STREAM = b"{gn:0}:client-events"


def state(raw: bytes, at: int = DUE, due: int = DUE) -> bytes:
    """Fill in the times of a state, as the scripts do."""
    return raw[:2] + b"%013d%013d" % (at, due) + raw[28:]


FAILURE = Failure("payload_encoding_failed", "no")
PENDING = state(initial_state(None))
_ROUTE = decode_route(PENDING)


def published(stream_id: str, worker: str = WORKER) -> bytes:
    """Return the state of the route once its event is in the stream."""
    return state(_ROUTE.published(worker)) + stream_id.encode()


def dead_lettered(failure_class: str = "payload_encoding_failed", *, attempt: bool = True) -> bytes:
    """Return the state of the route as a dead letter."""
    return state(_ROUTE.dead_lettered(WORKER, Failure(failure_class, "no"), attempt=attempt))


def accept() -> Transition:
    """Accept the route."""
    return [
        (b"HSET", _KEY, b"record", b"1........", b"open", b"1", b"push:u1", PENDING),
        (b"ZADD", _SCHEDULE, b"%d" % DUE, MEMBER.encode()),
    ]


def claim(token: str = TOKEN, lapses: bytes = LAPSES) -> Transition:
    """Claim it."""
    return [
        (b"ZADD", _LEASES, lapses, token.encode()),
        (b"ZADD", _SCHEDULE, lapses, MEMBER.encode()),
    ]


def event(stream_id: str = f"{DUE}-0", event_id: str = MEMBER) -> Command:
    """Add its event to the stream."""
    fields = (b"user_id", b"u1", b"event_type", b"t", b"event_id", event_id.encode())
    payload = (b"payload_bytes", msgpack.packb(PAYLOAD))
    return (b"XADD", _STREAM, stream_id.encode(), *fields, *payload)


def fence(token: str = TOKEN) -> Command:
    """End the lease."""
    return (b"ZREM", _LEASES, token.encode())


def write(raw: bytes) -> Command:
    """Write the state of the route."""
    return (b"HSET", _KEY, b"push:u1", raw)


def leave() -> Command:
    """Take the route off the schedule."""
    return (b"ZREM", _SCHEDULE, MEMBER.encode())


def publish(stream_id: str = f"{DUE}-0", token: str = TOKEN) -> Transition:
    """Publish it, all in one step."""
    worker = token.partition(":")[0]
    return [event(stream_id), fence(token), write(published(stream_id, worker)), leave()]


def publish_unleased() -> Transition:
    """Publish it without a lease, all in one step."""
    return [event(), write(published(f"{DUE}-0")), leave()]


def abandon() -> Command:
    """Count a lease of it that expired."""
    return (b"HSET", b"{gn:0}:abandoned:push", MEMBER.encode(), b"1")


@dataclass
class Case:
    """A journal and what is left, both sound until a test changes one."""

    journal: Journal = field(default_factory=Journal)
    rest: Rest = field(default_factory=lambda: Rest({}, []))

    def __post_init__(self) -> None:
        """Have one route accepted and published."""
        self.journal.asked(ID, INTENT).is_accepted = True
        self.rest.routes[MEMBER] = decode_route(published(f"{DUE}-0"))
        self.rest.entries.append(self.entry())

    def entry(self, **changed: bytes) -> dict[str, bytes]:
        """Return the entry of the event, with these fields changed."""
        return {
            "stream_id": f"{DUE}-0".encode(),
            "event_id": MEMBER.encode(),
            "payload_bytes": msgpack.packb(PAYLOAD),
            **changed,
        }
