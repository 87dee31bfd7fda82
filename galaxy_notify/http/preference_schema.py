"""The schema of a user's preferences, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Any, Final
from zoneinfo import available_timezones

from galaxy_notify.http.intent_schema import CHANNEL_NAME
from galaxy_notify.model.ids import NAME
from galaxy_notify.model.preference import EVERY_TYPE, MOST_CHANNELS, QUIET, SEVERITIES, SILENCED
from galaxy_notify.model.preference_input import MOST_TYPES
from galaxy_notify.model.quiet import is_zone


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_WISH: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "anyOf": [
        {"required": ["channels"], "properties": {"channels": {"type": "array"}}},
        {"required": ["min_severity"], "properties": {"min_severity": {"type": "string"}}},
    ],
    "properties": {
        "channels": _or_null(
            {
                "type": "array",
                "items": CHANNEL_NAME,
                "maxItems": MOST_CHANNELS,
                "description": "Only by these, each one of worker.channels; none: not at all",
            }
        ),
        "min_severity": _or_null({"type": "string", "enum": list(SEVERITIES)}),
    },
}
_CLOCK: Final = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}


#: All that a user wants; what is absent is not set.
PREFERENCES: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        EVERY_TYPE: _or_null(_WISH),
        "types": _or_null(
            {
                "type": "object",
                "maxProperties": MOST_TYPES,
                "propertyNames": {"pattern": f"^(?:{NAME})$"},
                "additionalProperties": _or_null(_WISH),
            }
        ),
        SILENCED: _or_null({"type": "boolean"}),
        QUIET: _or_null(
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
