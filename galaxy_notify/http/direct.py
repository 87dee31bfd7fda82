"""The calls that most requests make, answered without the framework in between.

FastAPI takes about as long for one request, with its layers, routes and injected arguments, as the
rest of this package. These calls need none of it: their path has no parameter, and one with a query
goes the usual way. What they check and answer is the same functions in the same order, and the
OpenAPI document is made of the routes, which stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from galaxy_notify.errors import Invalid
from galaxy_notify.http import intents
from galaxy_notify.http.responses import problem_response, refused
from galaxy_notify.web.problems import Problem

Answer = Callable[[Request], Awaitable[Response]]

#: The endpoint of a route → how it is answered directly.
_DIRECT: Final[dict[Callable[..., object], Answer]] = {
    intents.accept: intents.accept_directly,
    intents.accept_many: intents.accept_many_directly,
}


class DirectCalls:
    """The application: a direct call is answered here, everything else by the framework."""

    def __init__(self, app: FastAPI) -> None:
        """Stand before *app*, whose routers have been included."""
        self._app = app
        self._calls: dict[tuple[str, str], tuple[APIRoute, Answer]] = {
            (method, route.path): (route, _DIRECT[route.endpoint])
            for route in intents.router.routes
            if isinstance(route, APIRoute) and route.endpoint in _DIRECT
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._calls.get((scope.get("method", ""), scope.get("path", "")))
        if found is None or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        scope["route"], answer = found
        scope["app"] = self._app
        try:
            response = await answer(Request(scope, receive))
        except Problem as problem:
            response = problem_response(problem)
        except Invalid as error:
            response = problem_response(refused(error))
        await response(scope, receive, send)
