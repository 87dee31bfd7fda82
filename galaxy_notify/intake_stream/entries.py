"""The entries of the intent stream: one field with one intent, checked and parsed."""

from __future__ import annotations

import re
from typing import Any, Final

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.json_data import printable
from galaxy_notify.model.json_text import USUAL, parse_json
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.intents import INTENT, REPLAYED

_STREAM_ID: Final = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")


def read_entry(entry: Entry, max_bytes: int) -> Any:
    """Return the JSON value of the intent in an entry; raise `InvalidIntent`.

    Without an idempotency key the id of the entry becomes the key, so that another delivery is the
    same notification.
    """
    raw = _intent_of(entry)
    if len(raw) > max_bytes:
        message = f"{len(raw):,} bytes, the limit is {max_bytes:,} (intake.max_bytes)"
        raise InvalidIntent("intent", message, "too_large")
    value = parse_json(raw, "the intent", USUAL)
    if isinstance(value, dict) and value.get("idempotency_key") is None:
        value["idempotency_key"] = entry.fields.get(REPLAYED, entry.stream_id.encode()).decode()
    return value


def _intent_of(entry: Entry) -> bytes:
    for name, value in entry.fields.items():
        is_replayed = name == REPLAYED and _STREAM_ID.fullmatch(value)
        if name != INTENT and not is_replayed:
            shown = printable(name.decode("utf-8", "replace"))
            raise InvalidIntent(shown, "unknown field: the only field of an entry is intent")
    if INTENT not in entry.fields:
        raise InvalidIntent(
            "intent", "missing: an entry must have this field, with the intent as JSON"
        )
    return entry.fields[INTENT]
