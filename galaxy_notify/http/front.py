"""What every request passes first and last: a bound on their number, an id, a line, a count."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galaxy_notify.http.intents import request_id_in
from galaxy_notify.http.problems import Problem, internal, unavailable
from galaxy_notify.settings.http import is_loopback
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
        self, app: ASGIApp, telemetry: Telemetry, *, max_requests: int, local_only: bool
    ) -> None:
        """Wrap *app*; *local_only* takes requests for this machine's own names only."""
        self._app = app
        self._telemetry = telemetry
        self._max_requests = max_requests
        self._local_only = local_only
        self._in_hand = 0
        self._log = get_logger("http")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        exchange = _Exchange(send, _request_id(scope["headers"]))
        scope.setdefault("state", {})["client"] = ""
        self._in_hand += 1
        try:
            refusal = self._refusal(scope)
            app = refusal.response() if refusal else self._app
            await app(scope, receive, exchange.send)
        except _Unread:
            self._log.warning("answer not read in time", request_id=exchange.request_id)
        except Exception:
            await self._defect(scope, receive, exchange)
        finally:
            self._in_hand -= 1
            self._tell(scope, exchange, perf_counter() - started)

    def _refusal(self, scope: Scope) -> Problem | None:
        if scope["path"] in _ALWAYS:
            return None
        if self._in_hand > self._max_requests:
            return unavailable(f"{self._max_requests} requests are in hand", "busy")
        return _foreign(scope["headers"]) if self._local_only else None

    async def _defect(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        self._log.exception("request failed", request_id=exchange.request_id)
        if exchange.status == 0:
            await internal().response()(scope, receive, exchange.send)

    def _tell(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        found = scope.get("route")
        route = str(getattr(found, "path", "other"))
        method = scope["method"] if scope["method"] in _METHODS else "other"
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
            message = {**message, "headers": [*message.get("headers", ()), own]}
        try:
            async with asyncio.timeout(_SEND_S):
                await self._send(message)
        except TimeoutError:
            raise _Unread from None


def _foreign(headers: Any) -> Problem | None:
    """Refuse what a page that a browser shows sends: it calls us by a name, or tells its own."""
    if _header(headers, b"origin"):
        return Problem("forbidden", "without tokens no page of a browser is served")
    if not _is_local(_header(headers, b"host")):
        return Problem("forbidden", "without tokens only requests to localhost are served")
    return None


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def _request_id(headers: Any) -> str:
    return request_id_in(_header(headers, b"x-request-id")) or os.urandom(8).hex()


def _is_local(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    return is_loopback(name.strip("[]").lower())
