"""The schemas of what is sent: points in time, intents, preferences; for the OpenAPI document.

They are as exact as a pattern can be; what a schema cannot say is said by the answer (422).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import available_timezones

from galaxy_notify.model.ids import CHANNEL, NAME, RECIPIENT
from galaxy_notify.model.moments import EARLIEST_MS, LATEST_MS
from galaxy_notify.model.preference import EVERY_TYPE, MOST_CHANNELS, QUIET, SEVERITIES, SILENCED
from galaxy_notify.model.preference_input import MOST_TYPES
from galaxy_notify.model.quiet import is_zone

_DAY: Final = (
    "(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    "|(?:0[13578]|1[02])-31)"
)
# From 0001 to 2285, and of 2286 what is surely before the last moment that has 13 digits.
_YEAR: Final = "(?!0000)(?:[01][0-9]{3}|2[01][0-9]{2}|22[0-7][0-9]|228[0-5])"
_LEAP: Final = (
    "(?!0000)(?:(?:[01][0-9]|2[0-2])(?:0[48]|[2468][048]|[13579][26])|(?:0[048]|1[26]|20)00)-02-29"
)
_DATE: Final = f"(?!228[89]|229)(?:{_YEAR}-{_DAY}|2286-(?!1[12])(?!02-29){_DAY}|{_LEAP})"
_TIME: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_OFFSET: Final = "(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
_RFC_3339: Final = f"{_DATE}[Tt ]{_TIME}{_OFFSET}"
_NUMBER: Final = "(?:[1-9][0-9]{12}|10000000000000)"
_AGO: Final = "[0-9]{1,9}(?:ms|s|m|h|d|w)"

#: What an intent may have as its time.
MOMENT: Final[dict[str, Any]] = {
    "description": "RFC 3339 with an offset, before 20 November 2286, or epoch milliseconds",
    "oneOf": [
        {"type": "string", "pattern": f"^{_RFC_3339}$", "examples": ["2040-01-31T09:00:00Z"]},
        {"type": "integer", "minimum": EARLIEST_MS, "maximum": LATEST_MS},
    ],
}
#: What a filter may have as its time.
ASKED: Final = f"^(?:{_RFC_3339}|{_NUMBER}|{_AGO})$"

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
            "description": "Each must be in worker.channels; if absent, users' preferences decide, "
            "else rules.default_channels",
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

_SHARED: Final = ("type", "producer", "severity", "title", "body", "data", "idempotency_key")
_PUBLICATION: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["type", "producer"],
    "properties": {
        **{name: INTENT["properties"][name] for name in _SHARED},
        "user": {**_named(RECIPIENT), "description": "If present, the user of the path"},
        "notification_id": _optional(
            {
                "type": "string",
                "pattern": "^[0-9a-f]{32}$",
                "description": "That of a 503, to repeat the request",
            }
        ),
    },
    "example": {"type": "game.turn.ready", "producer": "lobby", "title": "Your turn"},
}
#: What is published in the feed of a user: one, or several.
PUBLICATIONS: Final[dict[str, Any]] = {
    "oneOf": [_PUBLICATION, {"type": "array", "minItems": 1, "items": _PUBLICATION}]
}

_WISH: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [
        {"required": ["channels"], "properties": {"channels": {"type": "array"}}},
        {"required": ["min_severity"], "properties": {"min_severity": {"type": "string"}}},
        {"required": ["in_app"], "properties": {"in_app": {"type": "boolean"}}},
    ],
    "properties": {
        "channels": _optional(
            {
                "type": "array",
                "items": CHANNEL_NAME,
                "maxItems": MOST_CHANNELS,
                "description": "Deliver only by these, each in worker.channels; an empty list: "
                "none. They say nothing about in_app",
            }
        ),
        "min_severity": _optional({"type": "string", "enum": list(SEVERITIES)}),
        "in_app": _optional(
            {"type": "boolean", "description": "Whether the feed keeps it; unset: yes"}
        ),
    },
}
_CLOCK: Final = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}


#: All that a user wants; what is absent is not set.
PREFERENCES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        EVERY_TYPE: _optional(_WISH),
        "types": _optional(
            {
                "type": "object",
                "maxProperties": MOST_TYPES,
                "propertyNames": {"pattern": f"^(?:{NAME})$"},
                "additionalProperties": _optional(_WISH),
            }
        ),
        SILENCED: _optional({"type": "boolean"}),
        QUIET: _optional(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["from", "to", "zone"],
                "properties": {
                    "from": _CLOCK,
                    "to": _CLOCK,
                    "zone": {
                        "type": "string",
                        "enum": sorted(filter(is_zone, available_timezones())),
                    },
                },
            }
        ),
    },
    "example": {
        EVERY_TYPE: {"channels": ["push"], "min_severity": "notice"},
        "types": {"game.turn.ready": {"channels": []}},
        QUIET: {"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"},
    },
}

_CONTACTS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["address"],
        "properties": {
            "channel": {"type": "string", "description": "An external one; default: the only one"},
            "address": {"type": "string", "minLength": 1, "maxLength": 2048},
            "id": _optional({"type": "string", "description": "Of its own, if not given"}),
            "data": _optional({"type": "object", "description": "Any JSON object of 8,192 bytes"}),
        },
    },
}
CONTACTS: Final[dict[str, Any]] = {
    "anyOf": [
        _CONTACTS,
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "contacts": _CONTACTS,
                "channels": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Of which no other contacts are left, too",
                },
            },
        },
    ],
    "example": [{"channel": "hooks", "address": "https://example.com/hook"}],
}

#: The id of an endpoint: that of its contact.
ENDPOINT_ID: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
#: An endpoint that is added.
WEBHOOK: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "description": "Of up to 2,000 characters"},
        "types": _optional(
            {
                "type": "array",
                "items": {"type": "string", "maxLength": 64},
                "description": "Up to 100 types, or how they begin and *; none: all",
            }
        ),
        "headers": _optional(
            {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Up to 20; X-… and Authorization only",
            }
        ),
        "channel": _optional(
            {"type": "string", "description": "Of kind webhook; default: the only one"}
        ),
    },
    "example": {"url": "https://example.com/hook", "types": ["game.turn.ready"]},
}
