"""Events for many users, as they come into Redis for each side.

The number of an event decides its user. With it comes the time at which it was written, so that
whoever receives it knows how long it took. Both sides get the same fields.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

from galaxy_notify.model.ids import random_id
from tests.bench.bench_run import STREAM
from tests.bench.texts import texts

ADAPTER_STREAM = "socket.io"
TEXT_BYTES = 150
#: What `MessageType.BROADCAST` of Socket.IO's cluster adapter is, and an event in its protocol.
_BROADCAST, _EVENT = "3", 2


class Entry(NamedTuple):
    """An entry of a stream."""

    stream: str
    fields: dict[Any, Any]


Written = Callable[[int, int], Entry]


@dataclass(frozen=True)
class Numbers:
    """Which events: *count* of them from *first* on, for so many users in turn."""

    first: int
    count: int
    users: int

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.count))

    def of_user(self, user: int) -> range:
        """Return the events of a user."""
        start = self.first + (user - self.first) % self.users
        return range(start, self.first + self.count, self.users)


def user_of(number: int, users: int) -> str:
    """Return the name of the user that an event is for."""
    return f"user-{number % users}"


def fields_of(number: int) -> dict[str, Any]:
    """Return what a notification says."""
    bodies = texts(TEXT_BYTES)
    return {
        "type": "bench.turn",
        "title": "Your turn",
        "body": bodies[number % len(bodies)],
        "data": {"turn": number, "at_us": time.time_ns() // 1000},
    }


def gateway_entry(number: int, users: int) -> Entry:
    """Return an event of our gateway stream, as a daemon publishes it."""
    now_ms = int(time.time() * 1000)
    user, notification = user_of(number, users), random_id(now_ms)
    payload = {
        "notification_id": notification,
        "producer": "bench",
        "severity": "info",
        "created_at_ms": now_ms,
        **fields_of(number),
    }
    fields = {
        "event_id": f"{notification}/push:{user}",
        "user_id": user,
        "event_type": payload["type"],
        "payload_bytes": msgpack.packb(payload),
    }
    return Entry(STREAM, fields)


def adapter_entry(number: int, users: int) -> Entry:
    """Return an event as the Redis streams adapter of Socket.IO publishes it to a room."""
    now_ms = int(time.time() * 1000)
    user, notification = user_of(number, users), random_id(now_ms)
    document = {
        "notification_id": notification,
        "event_id": f"{notification}/push:{user}",
        "severity": "info",
        "created_at_ms": now_ms,
        **fields_of(number),
    }
    packet = {"type": _EVENT, "data": ["notification", document], "nsp": "/"}
    options = {"rooms": [user], "except": [], "flags": {}}
    data = json.dumps({"packet": packet, "opts": options}, separators=(",", ":"))
    return Entry(ADAPTER_STREAM, {"uid": "bench", "nsp": "/", "type": _BROADCAST, "data": data})
