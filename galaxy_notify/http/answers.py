"""What each path answers, as the OpenAPI document says it."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from galaxy_notify.http.problems import KINDS, MEDIA_TYPE
from galaxy_notify.http.shapes import ProblemDocument

Answers = dict[int | str, dict[str, Any]]

#: What a body may be answered with, beside what its content may.
BODY: Final = (400, 408, 413, 415, 422)
#: What anybody may be told.
_GUARD: Final = (401, 403)
_AWAY: Final = (500, 503)


def answers(*problems: int, ok: dict[int, type[BaseModel]], guarded: bool = True) -> Answers:
    """Return the answers of an operation: the good ones by status, and problems."""
    found: Answers = {
        status: {"model": model, "description": _first_line(model)} for status, model in ok.items()
    }
    every = {*problems, *_AWAY, *(_GUARD if guarded else ())}
    return found | {status: _problem(status) for status in sorted(every)}


def body_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return what says of an operation that it takes such a body."""
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _problem(status: int) -> dict[str, Any]:
    titles = dict.fromkeys(kind.title for kind in KINDS.values() if kind.status == status)
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {"description": " · ".join(titles), "content": {MEDIA_TYPE: {"schema": schema}}}


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").splitlines()[0]
