"""What pydantic finds wrong with a query or a body, in our own form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from galaxy_notify.http.problems import Problem, fault
from galaxy_notify.model.json_data import printable

_TOLD: Final = 10
#: Where FastAPI found it: no part of the field's name.
_PLACES: Final = ("query", "path", "header", "body")


def refused_values(found: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem that names each value which is not valid."""
    errors = [fault(_field(one["loc"]), _message(one)) for one in found[:_TOLD]]
    first = errors[0]
    return Problem("invalid", f"{first['field']}: {first['message']}", errors)


def _field(place: Sequence[str | int]) -> str:
    steps = list(place[1:] if place and place[0] in _PLACES else place)
    text = "".join(f"[{one}]" if isinstance(one, int) else f".{printable(one)}" for one in steps)
    return text.removeprefix(".")


def _message(found: Mapping[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return "is not known"
    if found["type"] in ("model_type", "model_attributes_type"):
        return "must be an object"
    return printable(found["msg"], 200)
