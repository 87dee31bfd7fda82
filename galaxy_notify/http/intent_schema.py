"""The schema of an intent, as the OpenAPI document tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from galaxy_notify.http.moment_schema import MOMENT
from galaxy_notify.model.ids import CHANNEL, NAME, RECIPIENT

_TRACE_TEXT: Final = {"type": "string", "pattern": "^[ -~]{1,128}$"}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _named(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


#: Stands for the channels of the deployment, which the document names.
CHANNEL_NAME: Final = _named(CHANNEL)


def for_channels(schema: Any, channels: Sequence[str]) -> Any:
    """Return a schema, or a document, in which each channel is one of these."""
    if schema == CHANNEL_NAME:
        return {"type": "string", "enum": list(channels)}
    if isinstance(schema, dict):
        return {name: for_channels(value, channels) for name, value in schema.items()}
    if isinstance(schema, list):
        return [for_channels(value, channels) for value in schema]
    return schema


#: One intent; what a schema cannot say is said by the answer (422).
INTENT: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "producer", "recipients"],
    "properties": {
        "type": _named(NAME),
        "producer": _named(NAME),
        "recipients": {"type": "array", "minItems": 1, "items": _named(RECIPIENT)},
        "channels": {
            "type": "array",
            "minItems": 1,
            "items": CHANNEL_NAME,
            "default": ["push"],
            "description": "Each one of worker.channels; without it recipients may choose",
        },
        "severity": {
            "type": "string",
            "enum": ["info", "notice", "warning", "critical"],
            "default": "info",
        },
        "title": {"type": "string"},
        "body": {"type": "string"},
        "data": {"type": "object", "description": "Any JSON object, nested 32 levels at most"},
        "idempotency_key": _optional({"type": "string", "minLength": 1, "maxLength": 200}),
        "collapse_key": _optional({"type": "string", "minLength": 1, "maxLength": 200}),
        "due_at": _optional(MOMENT),
        "expires_at": _optional(MOMENT),
        "max_attempts": _optional({"type": "integer", "minimum": 1, "maximum": 1000}),
        "request_id": _optional(_TRACE_TEXT),
        "trace_id": _optional(_TRACE_TEXT),
        "traceparent": _optional(
            {
                "type": "string",
                "pattern": "^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}"
                "-[0-9a-f]{2}$",
            }
        ),
    },
    "example": {
        "type": "game.turn.ready",
        "producer": "lobby",
        "recipients": ["user-7"],
        "data": {"turn": 12},
    },
}
INTENTS: Final[dict[str, Any]] = {"type": "array", "minItems": 1, "items": INTENT}
