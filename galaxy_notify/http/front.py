"""What every request passes first and last: a bound on their number, an id, a line, a count."""

from __future__ import annotations

import asyncio
import os
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galaxy_notify.http import manners
from galaxy_notify.http.intents import request_id_in
from galaxy_notify.http.manners import (
    ALWAYS_SENT,
    Headers,
    header,
    in_origin_form,
    without_cookies,
)
from galaxy_notify.http.problems import Problem, internal
from galaxy_notify.http.seats import Seats
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger

#: A client that does not read its answer is left after so long.
_SEND_S: Final = 30.0
#: Probes are answered however much there is to do.
_ALWAYS: Final = frozenset({"/healthz", "/readyz"})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Front:
    """The outermost application; whatever happens within, it answers and writes one line."""

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, *, seats: Seats, local_only: bool
    ) -> None:
        """Wrap *app*; *local_only* takes requests for this machine's own names only."""
        self._app = app
        self._telemetry = telemetry
        self._seats = seats
        self._local_only = local_only
        self._log = get_logger("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        scope = without_cookies(in_origin_form(scope))
        exchange = _Exchange(send, _request_id(scope["headers"]))
        scope.setdefault("state", {})["client"] = ""
        self._seats.enter()
        # A head is what the answer to a GET begins with; the protocol leaves the rest out.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            refused = self._refusal(scope)
            app = refused.response() if refused else self._app
            await app(inner, receive, exchange.send)
        except _Unread:
            self._log.warning("answer not read in time", request_id=exchange.request_id)
        except Exception:
            await self._defect(inner, receive, exchange)
        finally:
            self._seats.leave(scope)
            self._tell(inner, scope["method"], exchange, perf_counter() - started)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers, always = scope["headers"], scope["path"] in _ALWAYS
        found = None if always else self._seats.refusal
        found = found or manners.refusal(scope["method"], headers)
        if self._local_only:
            found = found or manners.of_a_browser(headers)
            found = found or (None if always else manners.of_another_host(headers))
        return found

    async def _defect(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        self._log.exception("request failed", request_id=exchange.request_id)
        if exchange.status == 0:
            await internal().response()(scope, receive, exchange.send)

    def _tell(self, scope: Scope, method: str, exchange: _Exchange, seconds: float) -> None:
        found = scope.get("route")
        route = str(getattr(found, "path", "other"))
        method = method if method in _METHODS else "other"
        # An answer that nobody was left to hear.
        status = exchange.status or 499
        client = scope["state"].get("client") or "unknown"
        self._telemetry.request(method, route, status, client, seconds)
        self._log.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            client=client,
            request_id=exchange.request_id,
        )


class _Unread(Exception):
    """The client does not read its answer."""


class _Exchange:
    """Sends an answer with the request's id, within bounds of time, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self.request_id.encode("ascii"))
            message = {**message, "headers": [*message.get("headers", ()), own, *ALWAYS_SENT]}
        try:
            async with asyncio.timeout(_SEND_S):
                await self._send(message)
        except TimeoutError:
            raise _Unread from None


def _request_id(headers: Headers) -> str:
    return request_id_in(header(headers, b"x-request-id")) or os.urandom(8).hex()
