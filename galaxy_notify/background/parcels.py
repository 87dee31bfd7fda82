"""Parcels: an intent packed with its id, so that every sending is the same notification."""

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


class Opened(NamedTuple):
    """What a parcel holds: the intent as fields, and when and in which trace it was handed in."""

    notification_id: str
    at_ms: int
    traceparent: str
    fields: Mapping[str, Any]


def seal(intent: Intent) -> bytes:
    """Pack an intent as it is now; the parcel begins with the id of the notification.

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
        # The data of an Intent is a mapping that somebody may have changed since it was checked.
        raise InvalidIntent("data", f"cannot be packed: {error}"[:200]) from error
    return named.encode() + packed


def id_of(parcel: bytes) -> str:
    """Return the id of the notification in a parcel."""
    return parcel[:_ID].decode("ascii", "replace")


def opened(parcel: bytes) -> Opened:
    """Unpack a parcel; raise `InvalidIntent` for one that no version of ours sealed."""
    named = id_of(parcel)
    try:
        at_ms, traceparent, fields = msgpack.unpackb(parcel[_ID:])
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidIntent("", f"a parcel that cannot be read: {type(error).__name__}") from error
    shapes = (type(at_ms), type(traceparent), type(fields))
    if shapes != (int, str, dict) or not is_first_part(named):
        raise InvalidIntent("", "a parcel that no version of ours sealed")
    return Opened(named, at_ms, traceparent, fields)
