"""The record of a notification, and how it is kept in Redis.

A stored record is ``1`` followed by a msgpack list. The event's payload is packed once, when the
intent is accepted, and stays closed in it, so that forwarding it decodes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from galaxy_notify.errors import Corrupt

FORMAT: Final = b"1"
# The types of a record's fields; it may have no expiry.
_FIELDS: Final = (*(str,) * 6, int, int, int, int, int, bytes)
_ENDLESS: Final = (*(str,) * 6, int, int, type(None), int, int, bytes)
_SHAPES: Final = frozenset({_FIELDS, _ENDLESS})


@dataclass(slots=True)
class Notification:
    """An accepted intent, or one part of it: shared by all its routes, never to be changed.

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
    _payload: dict[str, Any] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def payload(self) -> dict[str, Any]:
        """Return the event's payload as a mapping; raise `Corrupt` where it is none."""
        if self._payload is None:
            self._payload = self._unpack()
        return self._payload

    def _unpack(self) -> dict[str, Any]:
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
    if raw[:1] != FORMAT or type(fields) is not list or tuple(map(type, fields)) not in _SHAPES:
        raise Corrupt("record: unknown format or fields")
    return Notification(notification_id, *fields)
