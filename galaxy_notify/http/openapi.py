"""The OpenAPI document, and what each operation contributes to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from galaxy_notify.http.queries import Replay
from galaxy_notify.http.request_schemas import for_channels
from galaxy_notify.http.schemas import ProblemDocument
from galaxy_notify.web.problems import KINDS, MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

#: Problems of any request that has a body.
BODY: Final = (400, 408, 413, 415, 422)
#: What any caller may be answered.
_GUARD: Final = (401, 403)
_AWAY: Final = (500, 503)
_OPEN: Final = ("/healthz", "/readyz")
_REF: Final = "#/components/schemas/{model}"


def responses(*problems: int, ok: dict[int, type], guarded: bool = True) -> Responses:
    """Return the responses of an operation: successes by status, and problems."""
    found: Responses = {
        status: {"model": model, "description": (model.__doc__ or "").splitlines()[0]}
        for status, model in ok.items()
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


def openapi_document(app: FastAPI, channels: Sequence[str], *, guarded: bool) -> dict[str, Any]:
    """Return the OpenAPI document; *guarded* names the bearer token that operations need."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    document: dict[str, Any] = for_channels(made, channels)
    parts = document.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for model in (ProblemDocument, Replay):
        schema = model.model_json_schema(ref_template=_REF)
        named = schema.pop("$defs", {}) | {model.__name__: schema}
        schemas |= for_channels(named, channels)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    if guarded:
        parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for operation in operations.values() if path not in _OPEN else ():
                operation["security"] = [{"bearer": []}]
    return document
