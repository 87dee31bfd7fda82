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
from galaxy_notify.model.ids import is_event_id
from galaxy_notify.redis_client.stream_member import Entry

#: The texts of every event; its payload is the fourth field. Others are optional.
_TEXTS: Final = (b"event_id", b"user_id", b"event_type")
_USUAL_FIELDS: Final = 4
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
    try:
        event_id = fields[b"event_id"].decode()
        user_id = fields[b"user_id"].decode()
        event_type = fields[b"event_type"].decode()
        payload = fields[b"payload_bytes"]
    except (KeyError, UnicodeDecodeError):
        raise _invalid(fields) from None
    if not (user_id and event_type and is_event_id(event_id)):
        raise _invalid(fields)
    has_more = len(fields) > _USUAL_FIELDS
    # A frozen dataclass sets each attribute by a call of its own, which takes as long as the rest.
    event = object.__new__(Event)
    event.__dict__.update(
        event_id=event_id,
        user_id=user_id,
        event_type=event_type,
        payload_bytes=payload,
        request_id=_text(fields, b"request_id") if has_more else "",
        trace_id=_text(fields, b"trace_id") if has_more else "",
        traceparent=_text(fields, b"traceparent") if has_more else "",
        stream=stream,
        stream_id=entry.stream_id,
        shard=shard,
        deliveries=entry.deliveries,
    )
    return event


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


def _invalid(fields: Mapping[bytes, bytes]) -> Corrupt:
    """Return what is wrong with the fields of an entry that has no valid event."""
    for name in _TEXTS:
        if not fields.get(name):
            return Corrupt(f"{name.decode()}: missing")
        try:
            _text(fields, name)
        except Corrupt as error:
            return error
    if not is_event_id(_text(fields, b"event_id")):
        return Corrupt("event_id: not an event id")
    return Corrupt("payload_bytes: missing")


def _text(fields: Mapping[bytes, bytes], name: bytes) -> str:
    try:
        return fields.get(name, b"").decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"{name.decode()}: not UTF-8") from error
