"""The schema of a user's preferences, as the OpenAPI document tells it."""

from __future__ import annotations

from typing import Any, Final

from galaxy_notify.model.ids import CHANNEL, NAME
from galaxy_notify.model.preference import EVERY_TYPE, QUIET, SEVERITIES, SILENCED


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_WISH: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "channels": _or_null(
            {
                "type": "array",
                "items": {"type": "string", "pattern": f"^(?:{CHANNEL})$"},
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
                    "zone": {"type": "string", "examples": ["Europe/Berlin"]},
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
