"""Packed intents: an intent with its id, so that every sending is the same notification."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgpack

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import id_for_key, is_first_part, random_id
from galaxy_notify.model.intent import Intent
from galaxy_notify.telemetry.tracing import current_traceparent

_ID: Final = 32


class Unpacked(NamedTuple):
    """The fields of a packed intent, and when and in which trace it was handed in."""

    notification_id: str
    at_ms: int
    traceparent: str
    fields: Mapping[str, Any]


def pack(intent: Intent) -> bytes:
    """Return an intent as it is now, packed behind the id of its notification.

    Raises `InvalidIntent` where its data was made unfit after it was checked.
    """
    at_ms, key = time.time_ns() // 1_000_000, intent.idempotency_key
    named = random_id(at_ms) if key is None else id_for_key(intent.producer, key)
    values = intent.__dict__
    # What the producer left out stays out: preferences choose where it named no channels.
    fields = {name: values[name] for name in intent.model_fields_set}
    try:
        packed: bytes = msgpack.packb((at_ms, current_traceparent(), fields))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        # The data of an Intent is a mapping, which may have been changed since it was checked.
        raise InvalidIntent("data", f"cannot be packed: {error}"[:200]) from error
    return named.encode() + packed


def id_of(packed: bytes) -> str:
    """Return the id of the notification of a packed intent."""
    return packed[:_ID].decode("ascii", "replace")


def unpack(packed: bytes) -> Unpacked:
    """Return what was packed; raise `InvalidIntent` for what this version cannot read."""
    named = id_of(packed)
    try:
        at_ms, traceparent, fields = msgpack.unpackb(packed[_ID:])
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidIntent("", f"cannot be unpacked: {type(error).__name__}") from error
    shapes = (type(at_ms), type(traceparent), type(fields))
    if shapes != (int, str, dict) or not is_first_part(named):
        raise InvalidIntent("", "cannot be unpacked: not of this version")
    return Unpacked(named, at_ms, traceparent, fields)
