"""The record of a notification, and how it is kept in Redis.

A stored record is ``1`` followed by a msgpack list. The event's payload is packed once, when the
intent is accepted, and stays closed in it, so that forwarding it decodes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgpack

from galaxy_notify.errors import Corrupt

FORMAT: Final = b"1"
_FIELDS: Final = 12


@dataclass(frozen=True)
class Notification:
    """An accepted intent, or one part of it: immutable, shared by all its routes.

    ``packed`` is the event's payload as the ``msgpack`` encoder forwards it; ``severity``,
    ``title``, ``body`` and ``data`` are read from it on demand. Times are epoch ms. ``parts`` are
    those of the whole notification, ``routes`` those of this part.
    """

    notification_id: str
    type: str
    producer: str
    idempotency_key: str
    request_id: str
    trace_id: str
    traceparent: str
    created_at_ms: int
    due_at_ms: int
    expires_at_ms: int | None
    parts: int
    routes: int
    packed: bytes

    @cached_property
    def payload(self) -> dict[str, Any]:
        """Return the event's payload as a mapping; raise `Corrupt` where it is none."""
        try:
            payload = msgpack.unpackb(self.packed)
        except (ValueError, RecursionError) as error:
            raise Corrupt(f"payload: {type(error).__name__}: {error}"[:200]) from error
        if not isinstance(payload, dict):
            raise Corrupt("payload: not a map")
        return payload

    @property
    def severity(self) -> str:
        """Return the severity, ``info`` unless the intent said more."""
        return str(self.payload.get("severity", "info"))

    @property
    def title(self) -> str:
        """Return the title, empty where there is none."""
        return str(self.payload.get("title", ""))

    @property
    def body(self) -> str:
        """Return the text, empty where there is none."""
        return str(self.payload.get("body", ""))

    @property
    def data(self) -> dict[str, Any]:
        """Return the producer's own data."""
        data: dict[str, Any] = self.payload.get("data", {})
        return data


def encode_notification(notification: Notification) -> bytes:
    """Return the record to store."""
    packed: bytes = msgpack.packb(
        (
            notification.type,
            notification.producer,
            notification.idempotency_key,
            notification.request_id,
            notification.trace_id,
            notification.traceparent,
            notification.created_at_ms,
            notification.due_at_ms,
            notification.expires_at_ms,
            notification.parts,
            notification.routes,
            notification.packed,
        )
    )
    return FORMAT + packed


def decode_notification(notification_id: str, raw: bytes) -> Notification:
    """Read a stored record; raise `Corrupt` on anything that no version of ours wrote."""
    try:
        fields = msgpack.unpackb(memoryview(raw)[1:])
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupt(f"record: {type(error).__name__}: {error}"[:200]) from error
    if raw[:1] != FORMAT or not _well_typed(fields):
        raise Corrupt("record: unknown format or fields")
    return Notification(notification_id, *fields)


def _well_typed(fields: Any) -> bool:
    if type(fields) is not list or len(fields) != _FIELDS:
        return False
    *texts, created, due, expires, parts, routes, packed = fields
    return (
        all(type(text) is str for text in texts)
        and type(created) is int
        and type(due) is int
        and (expires is None or type(expires) is int)
        and type(parts) is int
        and type(routes) is int
        and type(packed) is bytes
    )
