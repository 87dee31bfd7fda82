"""A notification as a service worker gets it, and how long and how soon a push service keeps it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from galaxy_notify.channels.push_encryption import MOST_CONTENT
from galaxy_notify.model.live_event import LiveEvent

#: What push services keep at most: four weeks.
LONGEST_TTL_S: Final = 2_419_200
_TOPIC_BYTES: Final = 24
#: Characters of a title in a thin message: in JSON each has six bytes at most.
_THIN_TITLE: Final = 200
_THIN: Final = ("notification_id", "event_id", "type", "severity", "created_at_ms")
#: A device with little power left waits with what is not urgent.
_URGENCIES: Final[Mapping[str, str]] = {
    "info": "low",
    "notice": "normal",
    "warning": "high",
    "critical": "high",
}
_json: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def push_content(event: LiveEvent) -> bytes:
    """Return an event as JSON, `MOST_CONTENT` bytes at most.

    Where it has more, without text and data, with the beginning of the title, and ``"thin": true``.
    """
    document = event.document()
    content = _json(document).encode()
    if len(content) <= MOST_CONTENT:
        return content
    thin = {name: document[name] for name in _THIN}
    return _json({**thin, "title": _cut(event.title), "thin": True}).encode()


def push_headers(event: LiveEvent, ttl_s: int) -> dict[str, str]:
    """Return the headers that say what a push service does with a message (RFC 8030).

    Of one notification a push service keeps one message: a repeated one replaces it.
    """
    topic = sha256(event.notification_id.encode()).digest()[:_TOPIC_BYTES]
    return {
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(max(0, min(ttl_s, LONGEST_TTL_S))),
        "Urgency": _URGENCIES.get(event.severity, "normal"),
        "Topic": urlsafe_b64encode(topic).decode(),
    }


def _cut(title: str) -> str:
    return title if len(title) <= _THIN_TITLE else f"{title[: _THIN_TITLE - 1]}…"
