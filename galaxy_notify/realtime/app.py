"""The paths of a gateway process: streams of users, probes, metrics. Plain ASGI.

A framework would cost each idle connection more memory than the stream itself.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from galaxy_notify.model.cursor import UNKNOWN, Cursor, parse_cursor
from galaxy_notify.realtime.access import Access, single_values
from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.connections import Connections, Refusal
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.message import bye
from galaxy_notify.realtime.readiness import Readiness
from galaxy_notify.realtime.sse import (
    HEADERS,
    Asgi,
    Receive,
    Send,
    SseConnection,
    retry_ms,
    send_away,
)
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.settings.http import is_loopback
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.prometheus import MEDIA_TYPE as METRICS_TYPE
from galaxy_notify.telemetry.prometheus import Scraped
from galaxy_notify.web.connection import HAND_OVER, HandOver
from galaxy_notify.web.problems import ALWAYS_SENT, MEDIA_TYPE, Problem, packed

#: A client that comes while the deployment is not known yet waits for at most this long.
_BEGIN_S: Final = 5.0
_STREAM: Final = "/v1/me/stream"
_READ: Final = ("GET", "HEAD")
_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


@dataclass(frozen=True)
class Request:
    """A request, as far as it decides anything."""

    method: str
    path: str
    headers: Mapping[bytes, str]
    query: str
    peer: str
    hand_over: HandOver

    @classmethod
    def of(cls, scope: Asgi) -> Request:
        """Read a scope; raise a `Problem` for headers without a single meaning."""
        client = scope.get("client")
        return cls(
            scope["method"],
            scope["path"],
            single_values(scope["headers"]),
            scope["query_string"].decode("latin-1"),
            client[0] if client else "",
            scope["extensions"][HAND_OVER],
        )

    @property
    def cursor(self) -> Cursor | None:
        """Where the client goes on; None without a cursor, `UNKNOWN` for one that is invalid."""
        text = self.headers.get(b"last-event-id") or dict(parse_qsl(self.query)).get("cursor")
        return (parse_cursor(text) or UNKNOWN) if text else None


_Handler: TypeAlias = Callable[[Request, Receive, Send], Awaitable[None]]


class App:
    """Answers every request of one process."""

    def __init__(
        self,
        settings: RealtimeSettings,
        connections: Connections,
        readiness: Readiness,
        scraped: Scraped,
    ) -> None:
        """Read the key of users' tokens; raise `ConfigurationError` if it cannot be used."""
        #: What serves users; None while the deployment is not known yet.
        self.instance: Instance | None = None
        self._began = asyncio.Event()
        self._connections = connections
        self._readiness = readiness
        self._scraped = scraped
        self._limits = BufferLimits(settings.buffer_events, settings.buffer_bytes)
        # Other settings may say something else by now, which takes a restart.
        self._serves = settings.serve
        self._log = get_logger("realtime")
        # A reload does not change it.
        self._serves = settings.serve
        self._paths: Mapping[str, tuple[tuple[str, ...], _Handler]] = {
            "/healthz": (_READ, self._alive),
            "/readyz": (_READ, self._ready),
            "/metrics": (_READ, self._metrics),
            **({_STREAM: (("GET",), self._stream)} if self._serves else {}),
        }
        self.configure(settings)

    def configure(self, settings: RealtimeSettings) -> None:
        """Take keys, origins and tokens of new settings; raise `ConfigurationError`."""
        self._access = Access(settings) if self._serves else None
        token = settings.metrics_token
        self._metrics_token = token.get_secret_value().encode() if token else b""

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        try:
            request = Request.of(scope)
            await self._handler(request)(request, receive, send)
        except Problem as problem:
            origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
            await self._answer_problem(problem, origin, send)

    def _handler(self, request: Request) -> _Handler:
        """Return what answers a request; raise a `Problem` (404 or 405)."""
        found = self._paths.get(request.path)
        if found is None:
            what = f"no route for {request.method[:16]} {request.path[:200]}"
            raise Problem("not-found", what)
        methods, handler = found
        if request.method in methods:
            return handler
        allow = ", ".join((*methods, "OPTIONS"))
        if request.method == "OPTIONS":
            return self._preflight(allow)
        what = f"no route for {request.method[:16]} {request.path[:200]}"
        raise Problem("method-not-allowed", what, (), {"Allow": allow})

    def _preflight(self, allow: str) -> _Handler:
        async def answer(request: Request, _: Receive, send: Send) -> None:
            headers = [(b"allow", allow.encode())]
            if self._access is not None:
                headers += self._access.cors(request.headers.get(b"origin"), preflight=True)
            await _answer(send, 204, b"", headers)

        return answer

    # --- users ---

    def begin(self, instance: Instance) -> None:
        """Serve users from now on."""
        self.instance = instance
        self._began.set()

    async def _begun(self) -> Instance | None:
        """Wait a moment for what serves users: a process that has just started joins soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_S):
                await self._began.wait()
        return self.instance

    async def _stream(self, request: Request, _: Receive, send: Send) -> None:
        """Begin a stream; it outlives this call."""
        assert self._access is not None
        user = self._access.user(request.headers)
        headers = [*HEADERS, *self._access.cors(request.headers.get(b"origin"))]
        # Without a deployment nobody can be served yet, as in a stop.
        instance = self.instance or await self._begun()
        refused = self._connections.refusal() if instance else Refusal("shutdown", retry_ms())
        if instance is None or refused is not None:
            assert refused is not None
            self._connections.sent_away(refused.reason)
            await send_away(send, headers, bye(*refused))
            return
        stream = Stream(user.name, self._limits)
        connection = SseConnection(stream, self._connections.sent, self._ended)
        transport = request.hand_over(connection)
        if transport is None:
            return
        self._connections.add(connection, user)
        connection.start(transport, headers)
        instance.arrive(Arrival(stream, request.cursor))
        self._log.debug("stream opened", user=user.name)

    def _ended(self, connection: SseConnection) -> None:
        """Forget a stream whose connection is closed."""
        stream, reason = connection.stream, connection.end_reason or "left"
        if self.instance is not None:
            self.instance.depart(stream)
        self._connections.remove(connection)
        self._log.debug("stream closed", user=stream.user, reason=reason)

    # --- operators ---

    async def _alive(self, _request: Request, _: Receive, send: Send) -> None:
        await _answer_json(send, {"status": "ok"})

    async def _ready(self, _request: Request, _: Receive, send: Send) -> None:
        """Answer whether a write reaches the primary and comes back."""
        write_ms = await self._readiness.write_ms()
        await _answer_json(send, {"status": "ok", "write_ms": write_ms})

    async def _metrics(self, request: Request, _: Receive, send: Send) -> None:
        self._check_scraper(request)
        self._connections.flush()
        await _answer(send, 200, self._scraped.text(), [(b"content-type", METRICS_TYPE.encode())])

    def _check_scraper(self, request: Request) -> None:
        """Raise a `Problem` unless metrics are for whoever asks: by token, or on this machine."""
        if self._metrics_token:
            scheme, _, token = request.headers.get(b"authorization", "").partition(" ")
            given = token.strip().encode("latin-1")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._metrics_token):
                challenge = {"WWW-Authenticate": 'Bearer realm="galaxy-notify"'}
                raise Problem("unauthorized", "needs the metrics token", (), challenge)
        elif not is_loopback(request.peer) or any(name in request.headers for name in _FORWARDED):
            detail = "without realtime.metrics_token only this machine may read metrics"
            raise Problem("forbidden", detail)

    # --- answers ---

    async def _answer_problem(self, problem: Problem, origin: str, send: Send) -> None:
        headers = [(b"content-type", MEDIA_TYPE.encode())]
        headers += [(k.lower().encode(), v.encode("latin-1")) for k, v in problem.headers.items()]
        if self._access is not None:
            headers += self._access.cors(origin)
        await _answer(send, problem.status, problem.body, headers)


async def _answer_json(send: Send, document: object) -> None:
    await _answer(send, 200, packed(document), [(b"content-type", b"application/json")])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    everything: list[Any] = [*headers, *ALWAYS_SENT, *([length] if body else [])]
    await send({"type": "http.response.start", "status": status, "headers": everything})
    await send({"type": "http.response.body", "body": body})
