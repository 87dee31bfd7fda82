"""Records as an accept writes them, made of a whole notification."""

from __future__ import annotations

from operator import attrgetter

from galaxy_notify.model.notification import Notification, encode_record

_FIELDS = attrgetter(
    *("created_at_ms", "type", "producer", "content", "asked_due_ms", "expires_at_ms", "parts"),
    *("routes", "idempotency_key", "request_id", "trace_id", "traceparent"),
)


def encode_notification(notification: Notification, digest: bytes) -> bytes:
    """Return the record to store; *digest* are the eight bytes to know the same content by."""
    return encode_record(digest, *_FIELDS(notification))
