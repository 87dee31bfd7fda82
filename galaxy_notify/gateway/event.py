"""An event as a gateway receives it, decoded from the fields of its stream entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgpack

from galaxy_notify.encoding import MAX_BYTES, unpack_payload
from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import parse_target
from galaxy_notify.redis_client.stream_member import Entry

_UNREADABLE: Final = (ValueError, TypeError, RecursionError, OverflowError, MemoryError)


@dataclass(frozen=True)
class Event:
    """One event for one user.

    ``event_id`` is the same in every delivery of the event. ``deliveries`` includes this delivery.
    ``request_id``, ``trace_id`` and ``traceparent`` are empty if the intent had none.
    """

    event_id: str
    user_id: str
    event_type: str
    payload_bytes: bytes
    request_id: str
    trace_id: str
    traceparent: str
    stream: str
    stream_id: str
    shard: int
    deliveries: int

    @cached_property
    def payload(self) -> dict[str, Any]:
        """The payload of the ``msgpack`` or ``json`` encoder; raises `Corrupt` if it is invalid.

        A handler should not catch `Corrupt`: the entry is then parked at once.
        """
        return decode_payload(self.payload_bytes)


def decode_event(entry: Entry, stream: str, shard: int) -> Event:
    """Return the event in an entry of a stream; raise `Corrupt` with the invalid field."""
    fields = entry.fields
    event_id = _text(fields, "event_id", required=True)
    target = parse_target(event_id)
    if target is None or target.route_id is None or event_id != event_id.strip():
        raise Corrupt("event_id: not an event id")
    payload = fields.get(b"payload_bytes")
    if payload is None:
        raise Corrupt("payload_bytes: missing")
    return Event(
        event_id=event_id,
        user_id=_text(fields, "user_id", required=True),
        event_type=_text(fields, "event_type", required=True),
        payload_bytes=payload,
        request_id=_text(fields, "request_id"),
        trace_id=_text(fields, "trace_id"),
        traceparent=_text(fields, "traceparent"),
        stream=stream,
        stream_id=entry.stream_id,
        shard=shard,
        deliveries=entry.deliveries,
    )


def decode_payload(raw: bytes) -> dict[str, Any]:
    """Return the fields of a payload, msgpack or JSON; raise `Corrupt` if it is invalid."""
    # A packed map never begins with this byte.
    return unpack_payload(_packed(raw) if raw[:1] == b"{" else raw)


def _packed(raw: bytes) -> bytes:
    if len(raw) > MAX_BYTES:
        raise Corrupt(f"payload: {len(raw)} bytes, more than {MAX_BYTES}")
    try:
        packed: bytes = msgpack.packb(json.loads(raw, parse_constant=_refuse))
    except _UNREADABLE as error:
        raise Corrupt(f"payload: {type(error).__name__}: {error}"[:200]) from error
    return packed


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _text(fields: Mapping[bytes, bytes], name: str, *, required: bool = False) -> str:
    raw = fields.get(name.encode(), b"")
    if required and not raw:
        raise Corrupt(f"{name}: missing")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"{name}: not UTF-8") from error
