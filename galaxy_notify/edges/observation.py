"""What a program observed of an edge, checked: its key, and the zone in which the value lies."""

from __future__ import annotations

import math
import os
import re
from hashlib import sha256
from numbers import Real
from typing import Any, Final, NamedTuple, TypedDict, TypeGuard

from galaxy_notify.errors import InvalidEdge
from galaxy_notify.model.refusals import shown
from galaxy_notify.redis_state.edges import Zone

#: The longest cooldown: 30 days.
MOST_COOLDOWN_MS: Final = 30 * 86_400_000
_TEXT: Final = re.compile("[ -~]{1,200}")


class EdgeTerms(TypedDict, total=False):
    """When an edge fires: see `EdgeTrigger.fires`."""

    at: float
    clear: float | None
    above: bool
    cooldown_ms: int
    call_id: str | None


class Observation(NamedTuple):
    """One call: the edge, where its value lies, and the id by which a repeat is known."""

    key: str
    zone: Zone
    cooldown_ms: int
    call_id: str


def observed(key: object, value: object, terms: EdgeTerms) -> Observation:
    """Return what is observed.

    Raises `InvalidEdge`, which names the field, and `TypeError` for a name that is not one of
    `EdgeTerms`.
    """
    given: dict[str, Any] = dict(terms)
    for name in given:
        if name not in EdgeTerms.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}")
    call_id, cooldown_ms = given.pop("call_id", None), given.pop("cooldown_ms", 0)
    return Observation(
        _text("key", key), _zone(value, given), _cooldown(cooldown_ms), _digest(call_id)
    )


def _zone(value: object, given: dict[str, Any]) -> Zone:
    if "above" in given:
        return _side(value, given)
    if "at" not in given:
        raise InvalidEdge("at", "is required, where above is not given")
    # Numbers are compared here: Redis has only floats.
    number, at = _number("value", value), _number("at", given["at"])
    clear = at if given.get("clear") is None else _number("clear", given["clear"])
    if clear > at:
        raise InvalidEdge("clear", "must not be greater than at")
    if number >= at:
        return Zone.ABOVE
    return Zone.BELOW if number <= clear or clear == at else Zone.BETWEEN


def _side(value: object, given: dict[str, Any]) -> Zone:
    above = given.pop("above")
    if value is not None or given:
        raise InvalidEdge("above", "replaces value, at and clear: give it alone")
    if not isinstance(above, bool):
        raise InvalidEdge("above", f"must be true or false, not {shown(above)}")
    return Zone.ABOVE if above else Zone.BELOW


def _number(field: str, value: object) -> Real:
    if not _is_number(value):
        raise InvalidEdge(field, f"must be a number, not {shown(value)}")
    if not _is_finite(value):
        raise InvalidEdge(field, "must be a finite number")
    return value


def _is_number(value: object) -> TypeGuard[Real]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return True  # larger than any float


def _cooldown(value: object) -> int:
    if type(value) is int and 0 <= value <= MOST_COOLDOWN_MS:
        return value
    wanted = f"must be a whole number from 0 to {MOST_COOLDOWN_MS}"
    raise InvalidEdge("cooldown_ms", f"{wanted}, not {shown(value)}")


def _text(field: str, value: object) -> str:
    if isinstance(value, str) and _TEXT.fullmatch(value):
        return value
    raise InvalidEdge(field, f"must be 1 to 200 printable ASCII characters, not {shown(value)}")


def _digest(call_id: object) -> str:
    """Return the id of a call as Redis keeps it; a new one, if the caller has drawn none."""
    if call_id is None:
        return os.urandom(8).hex()
    return sha256(_text("call_id", call_id).encode()).hexdigest()[:16]
