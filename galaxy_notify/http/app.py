"""The application: its paths, and what it answers where something goes wrong."""

from __future__ import annotations

from http.client import METHOD_NOT_ALLOWED, NO_CONTENT, NOT_FOUND
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.routing import Route

from galaxy_notify import __version__
from galaxy_notify.http import (
    accepting,
    dead_letters,
    listing,
    notifications,
    observing,
    preferences,
)
from galaxy_notify.http.auth import Doorkeeper
from galaxy_notify.http.front import Front
from galaxy_notify.http.intent_schema import for_channels
from galaxy_notify.http.manners import allowed
from galaxy_notify.http.parts import Parts
from galaxy_notify.http.problems import Problem, internal
from galaxy_notify.http.queries import Replay
from galaxy_notify.http.refusals import refused_values
from galaxy_notify.http.seats import Seats
from galaxy_notify.http.shapes import ProblemDocument

_MODULES: Final = (accepting, listing, notifications, preferences, dead_letters, observing)
_OPEN: Final = ("/healthz", "/readyz")
_REF: Final = "#/components/schemas/{model}"
_ABOUT: Final = (
    "Hand in notifications, look after them, watch them. Errors are RFC 9457 problems that name"
    " the field or item. docs/http.md explains it all."
)


def make_app(parts: Parts, doorkeeper: Doorkeeper) -> Front:
    """Return the application of one server."""
    # Its pages for people load scripts from elsewhere: the document alone stands for itself.
    app = FastAPI(
        title="galaxy-notify",
        version=__version__,
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.parts, app.state.doorkeeper = parts, doorkeeper
    seats = Seats(parts.settings.http.max_requests)
    app.state.seats = seats
    app.state.readiness = observing.Readiness(parts.threads.probes)
    for module in _MODULES:
        app.include_router(module.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _of_routing)
    app.add_exception_handler(RequestValidationError, _of_values)
    app.add_exception_handler(Exception, _defect)
    app.openapi = _Document(app, guarded=not doorkeeper.is_open)  # type: ignore[method-assign]
    return Front(
        app,
        parts.telemetry,
        seats=seats,
        local_only=doorkeeper.is_open,
    )


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _defect(_: Request, __: Exception) -> Response:
    # It is raised again after this: the front logs it.
    return internal().response()


async def _of_routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"there is no {request.method[:16]} {request.url.path[:200]}"
    path = request.scope["path"]
    if error.status_code == METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(None, NO_CONTENT, allowed(_methods(path)))
    if error.status_code == METHOD_NOT_ALLOWED:
        return Problem("method-not-allowed", what, (), allowed(_methods(path))).response()
    kind = "not-found" if error.status_code == NOT_FOUND else "bad-request"
    return Problem(kind, what, (), error.headers).response()


def _methods(path: str) -> set[str]:
    """Return every method that a path has, over all routes."""
    routes = [route for module in _MODULES for route in module.router.routes]
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            found |= route.methods or set()
    return found


async def _of_values(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return refused_values(error.errors()).response()


class _Document:
    """The OpenAPI document, made when it is first asked for."""

    def __init__(self, app: FastAPI, *, guarded: bool) -> None:
        self._app = app
        self._guarded = guarded
        self._made: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        if not self._made:
            self._made = self._make()
        return self._made

    def _make(self) -> dict[str, Any]:
        app = self._app
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        channels = app.state.parts.settings.worker.channels
        document: dict[str, Any] = for_channels(made, channels)
        parts = document.setdefault("components", {})
        schemas = parts.setdefault("schemas", {})
        for model in (ProblemDocument, Replay):
            schema = model.model_json_schema(ref_template=_REF)
            named = schema.pop("$defs", {}) | {model.__name__: schema}
            schemas |= for_channels(named, channels)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        if self._guarded:
            parts["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
            self._guard(document["paths"])
        return document

    def _guard(self, paths: dict[str, Any]) -> None:
        for path, operations in paths.items():
            if path not in _OPEN:
                for operation in operations.values():
                    operation["security"] = [{"bearer": []}]
