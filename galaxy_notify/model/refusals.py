"""Why an item is refused: the first error of pydantic in the words of this project."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from galaxy_notify.errors import Invalid, InvalidIntent
from galaxy_notify.model.json_data import is_carried, kind_of, printable

_NAME = "must match [A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TRACE_TEXT = "must be 1 to 128 printable ASCII characters"
_TEXT = "must be text"
# What each field must be; for a list, what each of its items must be.
WANTED: Mapping[str, str] = {
    "type": _NAME,
    "producer": _NAME,
    "user": "must match [A-Za-z0-9+][A-Za-z0-9._~:@+-]{0,127}",
    "notification_id": "must be a notification_id returned by a publish",
    "recipients": "must match [A-Za-z0-9+][A-Za-z0-9._~:@+-]{0,127}",
    "channels": "must match [a-z][a-z0-9_]{0,31}",
    "severity": "must be info, notice, warning or critical",
    "title": _TEXT,
    "body": _TEXT,
    "idempotency_key": "must be 1 to 200 characters",
    "collapse_key": "must be 1 to 200 characters",
    "max_attempts": "must be a whole number from 1 to 1000",
    "request_id": _TRACE_TEXT,
    "trace_id": _TRACE_TEXT,
    "traceparent": "must be a W3C traceparent, 00-<trace id>-<parent id>-<flags>",
}
_LISTS = ("recipients", "channels")


def refusal(error: ValidationError, kind: type[Invalid] = InvalidIntent) -> Invalid:
    """Return the refusal for the first error of a validation of an intent, or another *kind*."""
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    if not place:
        what = "an intent" if kind is InvalidIntent else "a publication"
        return kind("", f"{what} is an object with text keys")
    field = _path(place) + str(first.get("ctx", {}).get("path", ""))
    return kind(field, _reason(first["type"], place, first))


def _path(place: Sequence[int | str]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{printable(step)}" for step in place[1:])
    return printable(place[0]) + "".join(steps)


def _reason(kind: str, place: Sequence[int | str], error: Mapping[str, Any]) -> str:
    if kind in ("missing", "extra_forbidden", "invalid_key"):
        return "is required" if kind == "missing" else "unknown field"
    if kind in ("moment", "data"):
        return str(error["ctx"]["reason"])
    if len(place) == 1 and place[0] in _LISTS:
        return _list_reason(kind, error["input"])
    return f"{WANTED[str(place[0])]}, not {shown(error['input'])}"


def _list_reason(kind: str, value: object) -> str:
    return "needs at least one" if kind == "too_short" else f"must be a list, not {kind_of(value)}"


def unknown_channel(channel: str, known: Collection[str]) -> str:
    """Return the message for a channel that the deployment does not have."""
    return f'unknown channel "{channel}" (known: {", ".join(sorted(known))})'


def shown(value: object) -> str:
    """Return a refused value as short printable text, or only its kind."""
    if isinstance(value, str):
        return f'"{printable(value)}"' if is_carried(value) else "text with a lone surrogate"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return printable(value)
    return kind_of(value)
