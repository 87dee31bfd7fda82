"""What every request passes first and last, whatever is served: a bound on their number, what HTTP
asks of headers, targets and methods, an id, a log line, a count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import getrandbits
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from galaxy_notify.http import unsubscribe
from galaxy_notify.http.dependencies import RequestLimit
from galaxy_notify.http.responses import internal, problem_response
from galaxy_notify.settings.http import is_loopback
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.web.problems import ALWAYS_SENT, Problem, fault

#: The first value of each header.
Headers = Mapping[bytes, bytes]

#: Each means one thing: with two values it is unclear which one is meant.
_SINGLE: Final = (
    b"authorization",
    b"content-type",
    b"host",
    b"idempotency-key",
    b"if-match",
    b"origin",
    b"sec-fetch-site",
    b"x-request-id",
)
_CONDITIONS: Final = (b"if-match", b"if-none-match", b"if-unmodified-since")
#: Where a change may depend on the entity tag: `http/preferences` checks it.
_TAGGED: Final = re.compile("/v1/users/[^/]+/preferences(/silence|/resume)?")
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Probes are answered however much there is to do.
_ALWAYS: Final = frozenset({"/healthz", "/readyz"})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_REQUEST_ID: Final = re.compile("[ -~]{1,128}")


class Middleware:
    """The outermost application: it always answers, and writes one line for each request."""

    def __init__(
        self, app: ASGIApp, telemetry: Telemetry, *, limit: RequestLimit, local_only: bool
    ) -> None:
        """Wrap *app*; *local_only* takes requests for this machine's own names only."""
        self._app = app
        self._telemetry = telemetry
        self._limit = limit
        self._local_only = local_only
        # Bound once: the settings of the log do not change while this process runs.
        self._log = get_logger("http").bind()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers = {name: value for name, value in reversed(scope["headers"])}
        given = request_id_in(_text(headers, b"x-request-id"))
        exchange = _Exchange(send, given or f"{getrandbits(64):016x}")
        scope.setdefault("state", {})["client"] = ""
        self._limit.enter()
        # A head is what the answer to a GET begins with; the protocol leaves the rest out.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        try:
            refused = self._refusal(scope, headers)
            app = problem_response(refused) if refused else self._app
            await app(inner, receive, exchange.send)
        except Exception:
            await self._defect(inner, receive, exchange)
        finally:
            self._limit.leave(scope)
            self._report(inner, scope["method"], exchange, perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        always = scope["path"] in _ALWAYS
        found = None if always else self._limit.refusal
        if found is None and len(headers) < len(scope["headers"]):
            found = _ambiguous([name for name, _ in scope["headers"]])
        found = found or _conditional(scope, headers)
        if self._local_only and scope["path"] != unsubscribe.PATH:
            found = found or _from_a_browser(headers)
            found = found or (None if always else _for_another_host(headers))
        return found

    async def _defect(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        self._log.exception("request failed", request_id=exchange.request_id)
        if exchange.status == 0:
            await problem_response(internal())(scope, receive, exchange.send)

    def _report(self, scope: Scope, method: str, exchange: _Exchange, seconds: float) -> None:
        found = scope.get("route")
        route = str(getattr(found, "path", "other"))
        method = method if method in _METHODS else "other"
        # The client was gone before the answer.
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


class _Exchange:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = (b"x-request-id", self.request_id.encode("ascii"))
            given = message.get("headers", ())
            # Of two policies for its content, a browser would follow the stricter parts of both.
            added = [each for each in ALWAYS_SENT if each[0] not in dict(given)]
            message = {**message, "headers": [*given, own, *added]}
        await self._send(message)


def request_id_in(text: str) -> str:
    """Return a request id that an intent can carry, or nothing."""
    return text if _REQUEST_ID.fullmatch(text) else ""


def _text(headers: Headers, name: bytes) -> str:
    """Return the value of a header, or nothing."""
    return headers.get(name, b"").decode("latin-1")


def _ambiguous(names: Sequence[bytes]) -> Problem | None:
    """Return why a request has no single meaning, if it has none."""
    for name in _SINGLE:
        if names.count(name) > 1:
            shown = name.decode().title()
            message = "is given more than once"
            return Problem("bad-request", f"{shown} {message}", [fault(shown, message)])
    return None


def _conditional(scope: Scope, headers: Headers) -> Problem | None:
    """Refuse a change under a condition that would not be checked."""
    for name in () if scope["method"] in _SAFE else _CONDITIONS:
        is_checked = name == b"if-match" and _TAGGED.fullmatch(scope["path"])
        if name in headers and not is_checked:
            shown = name.decode().title()
            return Problem(
                "precondition-failed", f"{shown}: conditional requests are not supported"
            )
    return None


def _from_a_browser(headers: Headers) -> Problem | None:
    """Refuse what a page that a browser shows sends; what a person types there is served."""
    if b"origin" in headers or _text(headers, b"sec-fetch-site").lower() not in ("", "none"):
        return Problem("forbidden", "without tokens, requests from browser pages are refused")
    return None


def _for_another_host(headers: Headers) -> Problem | None:
    """Refuse a request that calls us by a name which is not this machine's own."""
    host = _text(headers, b"host")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if is_loopback(name.strip("[]").lower()):
        return None
    return Problem("forbidden", "without tokens, only requests to localhost are served")
