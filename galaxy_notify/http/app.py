"""The application: its paths, and what it answers where something goes wrong."""

from __future__ import annotations

from functools import cache, partial
from http.client import METHOD_NOT_ALLOWED, NO_CONTENT, NOT_FOUND
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from galaxy_notify import __version__
from galaxy_notify.errors import Invalid
from galaxy_notify.http import (
    contacts,
    dead_letters,
    feeds,
    health,
    intents,
    notifications,
    preferences,
    unsubscribe,
    users,
    webhooks,
)
from galaxy_notify.http.dependencies import AppState
from galaxy_notify.http.direct import DirectCalls
from galaxy_notify.http.middleware import Middleware
from galaxy_notify.http.openapi import openapi_document
from galaxy_notify.http.responses import internal, problem_response, refused, refused_values
from galaxy_notify.web.problems import Problem

_MODULES: Final = (
    *(intents, notifications, preferences, users, contacts, webhooks, feeds, dead_letters, health),
    unsubscribe,
)
_ABOUT: Final = (
    "Submit, inspect and cancel notifications, manage dead letters, monitor. Errors "
    "are RFC 9457 problems that name the field or item. See docs/http.md."
)


def make_app(state: AppState) -> Middleware:
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
    is_open = state.authenticator.is_open
    app.state.server = state
    app.state.readiness = health.Readiness(state.pools.probes)
    for module in _MODULES:
        app.include_router(module.router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Invalid, _invalid)
    app.add_exception_handler(HTTPException, _routing_problem)
    app.add_exception_handler(RequestValidationError, _values_problem)
    app.add_exception_handler(Exception, _defect)
    channels = state.settings.worker.channels
    # Made when it is first asked for.
    document = cache(partial(openapi_document, app, channels, guarded=not is_open))
    app.openapi = document  # type: ignore[method-assign]
    return Middleware(DirectCalls(app), state.telemetry, limit=state.limit, local_only=is_open)


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)
    return problem_response(refused(error))


async def _defect(_: Request, __: Exception) -> Response:
    # It is raised again after this: the middleware logs it.
    return problem_response(internal())


async def _routing_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"no route for {request.method[:16]} {request.url.path[:200]}"
    path = request.scope["path"]
    if error.status_code == METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(None, NO_CONTENT, _allowed(path))
    if error.status_code == METHOD_NOT_ALLOWED:
        return problem_response(Problem("method-not-allowed", what, (), _allowed(path)))
    kind = "not-found" if error.status_code == NOT_FOUND else "bad-request"
    return problem_response(Problem(kind, what, (), error.headers))


def _allowed(path: str) -> dict[str, str]:
    """Return the header that names every method of a path; what has GET has HEAD.

    `ID:retract` could also be an id: the longest template that fits names the resource.
    """
    routes = [route for module in _MODULES for route in module.router.routes]
    fitting = [one for one in routes if isinstance(one, Route) and one.path_regex.match(path)]
    template = max((one.path for one in fitting), key=len, default="")
    found = {method for one in fitting if one.path == template for method in one.methods or ()}
    every = {*found, "OPTIONS", *({"HEAD"} if "GET" in found else ())}
    return {"Allow": ", ".join(sorted(every))}


async def _values_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(refused_values(error.errors()))
