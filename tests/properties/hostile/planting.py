"""Puts things into Redis as a stranger would: past every check of ours."""

from __future__ import annotations

from typing import Any

import msgpack
import redis

from galaxy_notify.model.notification import encode_record
from galaxy_notify.model.route import initial_state
from galaxy_notify.redis_state.keys import Keys

KEYS = Keys("gn", 0)
DUE_MS = 1_700_000_000_000
STATE = initial_state(None, DUE_MS)
CONTENT = msgpack.packb({"severity": "info"})
ROUTE = "push:bad"


def id_of(number: int) -> str:
    """Return the id of a planted notification."""
    return f"{number:032x}"


ID = id_of(1)
MEMBER = f"{ID}/{ROUTE}"


def record(
    created_ms: object = DUE_MS,
    kind: object = "t",
    producer: object = "p",
    content: object = CONTENT,
    *rest: object,
) -> bytes:
    """Return a record with these fields, whatever they are."""
    usual = (None, None, 1, 1, "", "", "", "")
    return encode_record(
        b"12345678", created_ms, kind, producer, content, *rest, *usual[len(rest) :]
    )


def plant(
    client: redis.Redis,
    member: bytes | str = MEMBER,
    score: float = 1.0,
    *,
    without: str = "",
    **fields: bytes | str,
) -> str:
    """Schedule a member with a hash of its own; return the hash's key.

    The fields are ``record``, ``open`` and ``state`` where they differ from sound ones.
    """
    raw = member if isinstance(member, bytes) else member.encode("utf-8", "surrogatepass")
    name, _, route = raw.partition(b"/")
    key = KEYS.notification("").encode() + name
    unwrap: dict[str, bytes | str] = {"record": record(), "open": "1", "state": STATE}
    values = {name: value for name, value in (unwrap | fields).items() if name != without}
    hashed: Any = {route if name == "state" else name: value for name, value in values.items()}
    client.hset(key, mapping=hashed)
    client.zadd(KEYS.schedule("push"), {raw: score})
    client.hincrby(KEYS.totals, "accepted", 1)
    return key.decode("utf-8", "replace")
