"""Packed items: fields with an id, so that every attempt sends the same notification."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgpack
from pydantic import BaseModel

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import id_for_key, is_first_part, random_id
from galaxy_notify.model.intent import Intent
from galaxy_notify.telemetry.tracing import current_traceparent

_ID: Final = 32


#: What an item is: for a spill is read by the kind of target that it was written for.
Kind = Literal["intent", "publication"]


class Unpacked(NamedTuple):
    """The fields of a packed item, with the time (epoch ms) and trace of its submission."""

    notification_id: str
    at_ms: int
    traceparent: str
    fields: Mapping[str, Any]


def pack(intent: Intent) -> bytes:
    """Return the id of the notification, followed by the packed intent as it is now.

    Raises `InvalidIntent` if its data was changed after the check and cannot be packed.
    """
    at_ms, key = time.time_ns() // 1_000_000, intent.idempotency_key
    notification_id = random_id(at_ms) if key is None else id_for_key(intent.producer, key)
    try:
        return pack_fields(notification_id, at_ms, given_fields(intent))
    except ValueError as error:
        raise InvalidIntent("data", str(error)) from error


def given_fields(item: BaseModel) -> dict[str, Any]:
    """Return the fields that a program gave: those omitted stay omitted.

    Without channels, for one, preferences choose them.
    """
    values = item.__dict__
    return {name: values[name] for name in item.model_fields_set}


def pack_fields(notification_id: str, at_ms: int, fields: Mapping[str, Any]) -> bytes:
    """Return the id of a notification, followed by the packed fields; raise `ValueError`."""
    try:
        packed: bytes = msgpack.packb((at_ms, current_traceparent(), fields))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        # The data of an item is a mapping, which may change after the check.
        raise ValueError(f"cannot be packed: {error}"[:200]) from error
    return notification_id.encode() + packed


def id_of(packed: bytes) -> str:
    """Return the notification id of a packed item."""
    return packed[:_ID].decode("ascii", "replace")


def unpack(packed: bytes) -> Unpacked:
    """Return the unpacked item; raise `InvalidIntent` if this version cannot read it."""
    notification_id = id_of(packed)
    try:
        at_ms, traceparent, fields = msgpack.unpackb(packed[_ID:])
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidIntent("", f"cannot be unpacked: {type(error).__name__}") from error
    shapes = (type(at_ms), type(traceparent), type(fields))
    if shapes != (int, str, dict) or not is_first_part(notification_id):
        raise InvalidIntent("", "cannot be unpacked: unknown version")
    return Unpacked(notification_id, at_ms, traceparent, fields)


def kind_in(packed: bytes) -> Kind | None:
    """Return what a packed item is; None if this version cannot read it."""
    try:
        fields = unpack(packed).fields
    except InvalidIntent:
        return None
    return "intent" if "recipients" in fields else "publication" if "user" in fields else None
