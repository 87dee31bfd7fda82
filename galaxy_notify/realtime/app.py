"""The paths of a gateway process: users, probes, metrics. Plain ASGI: it begins streams only."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from galaxy_notify.realtime.answers import answer, answer_file, answer_json, answer_problem
from galaxy_notify.realtime.bell_files import bell_files
from galaxy_notify.realtime.client_files import ClientFile, client_files
from galaxy_notify.realtime.client_messages import ClientMessages
from galaxy_notify.realtime.connections import Connections
from galaxy_notify.realtime.feed_paths import FeedPaths
from galaxy_notify.realtime.preference_paths import PreferencePaths
from galaxy_notify.realtime.push_paths import PushPaths
from galaxy_notify.realtime.readiness import Readiness
from galaxy_notify.realtime.request import Asgi, Receive, Request, Send
from galaxy_notify.realtime.user_feed import UserFeed
from galaxy_notify.realtime.ways_in import WaysIn
from galaxy_notify.settings.http import is_loopback
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.telemetry.prometheus import MEDIA_TYPE as METRICS_TYPE
from galaxy_notify.telemetry.prometheus import Scraped
from galaxy_notify.web.problems import Problem

if TYPE_CHECKING:
    from galaxy_notify.channels.push_subscriptions import PushSubscriptions

_FORWARDED: Final = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_Handler: TypeAlias = Callable[[Request, Send], Awaitable[None]]


class _Path(NamedTuple):
    """What answers a path, and its method; what has GET has HEAD, where it has an end."""

    methods: tuple[str, ...]
    handler: _Handler


_READ: Final = ("GET", "HEAD")


class App:
    """Answers every request of one process."""

    def __init__(
        self,
        settings: RealtimeSettings,
        connections: Connections,
        readiness: Readiness,
        scraped: Scraped,
        feed: UserFeed | None = None,
        subscriptions: PushSubscriptions | None = None,
    ) -> None:
        """Read the key of users' tokens; raise `ConfigurationError` if it cannot be used."""
        #: None in a process that only delivers.
        self.ways_in = _ways_in(settings, connections, feed) if settings.serve else None
        self._connections = connections
        self._readiness = readiness
        self._scraped = scraped
        self._paths: Mapping[str, _Path] = {
            "/healthz": _Path(_READ, self._alive),
            "/readyz": _Path(_READ, self._ready),
            "/metrics": _Path(_READ, self._metrics),
            **(_user_paths(self.ways_in) if self.ways_in else {}),
            **(_bell_paths(settings, self.ways_in) if self.ways_in and feed else {}),
            **(_preference_paths(self.ways_in) if self.ways_in else {}),
            **(_feed_paths(self.ways_in, feed) if self.ways_in and feed else {}),
            **(_push_paths(self.ways_in, subscriptions) if self.ways_in and subscriptions else {}),
        }
        self._take_metrics_token(settings)

    def configure(self, settings: RealtimeSettings) -> None:
        """Take keys, origins and tokens of new settings; raise `ConfigurationError`."""
        if self.ways_in is not None:
            self.ways_in.configure(settings)
        self._take_metrics_token(settings)

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            request = Request.of(scope, receive)
            await self._handler(request)(request, send)
        except Problem as problem:
            origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")
            await answer_problem(send, problem, self.ways_in.cors(origin) if self.ways_in else ())

    def _handler(self, request: Request) -> _Handler:
        """Return what answers a request; raise a `Problem` (404 or 405)."""
        what = f"no route for {request.method[:16]} {request.path[:200]}"
        path = self._paths.get(request.path) or self._paths.get(_one_of(request.path))
        if path is None:
            raise Problem("not-found", what)
        if request.method in path.methods:
            return path.handler
        allow = ", ".join((*path.methods, "OPTIONS"))
        if request.method == "OPTIONS":
            return self._preflight(allow)
        raise Problem("method-not-allowed", what, (), {"Allow": allow})

    def _preflight(self, allow: str) -> _Handler:
        async def answer_preflight(request: Request, send: Send) -> None:
            origin = request.headers.get(b"origin")
            more = self.ways_in.cors(origin, preflight=True) if self.ways_in else ()
            await answer(send, 204, b"", [(b"allow", allow.encode()), *more])

        return answer_preflight

    async def _alive(self, _request: Request, send: Send) -> None:
        await answer_json(send, {"status": "ok"})

    async def _ready(self, _request: Request, send: Send) -> None:
        """Answer whether a write reaches the primary and comes back."""
        write_ms = await self._readiness.write_ms()
        await answer_json(send, {"status": "ok", "write_ms": write_ms})

    async def _metrics(self, request: Request, send: Send) -> None:
        self._check_scraper(request)
        self._connections.flush()
        await answer(send, 200, self._scraped.text(), [(b"content-type", METRICS_TYPE.encode())])

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

    def _take_metrics_token(self, settings: RealtimeSettings) -> None:
        token = settings.metrics_token
        self._metrics_token = token.get_secret_value().encode() if token else b""


def _ways_in(settings: RealtimeSettings, connections: Connections, feed: UserFeed | None) -> WaysIn:
    return WaysIn(settings, connections, ClientMessages(feed).hear if feed else None)


def _feed_paths(ways_in: WaysIn, feed: UserFeed) -> Mapping[str, _Path]:
    own = FeedPaths(ways_in, feed)
    marks = ("read", "unread", "seen", "archive")
    return {
        "/v1/me/feed": _Path(_READ, own.page),
        "/v1/me/feed/counts": _Path(_READ, own.counts),
        **{f"/v1/me/feed/{mark}": _Path(("POST",), own.mark) for mark in marks},
    }


def _bell_paths(settings: RealtimeSettings, ways_in: WaysIn) -> Mapping[str, _Path]:
    files = bell_files(settings.bell_origins)
    return {path: _Path(_READ, _serving(file, ways_in)) for path, file in files.items()}


def _preference_paths(ways_in: WaysIn) -> Mapping[str, _Path]:
    own, path = PreferencePaths(ways_in), "/v1/me/preferences"
    return {
        path: _Path((*_READ, "PUT"), own.whole),
        **{f"{path}/{change}": _Path(("POST",), own.silence) for change in ("silence", "resume")},
    }


def _push_paths(ways_in: WaysIn, stored: PushSubscriptions) -> Mapping[str, _Path]:
    own = PushPaths(ways_in, stored)
    return {
        "/v1/me/push/key": _Path(_READ, own.key),
        "/v1/me/push/subscriptions": _Path(("POST",), own.subscribe),
        "/v1/me/push/subscriptions/{id}": _Path(("DELETE",), own.unsubscribe),
    }


def _one_of(path: str) -> str:
    """Return the path of all things of a kind, of which *path* names one."""
    return f"{path.rpartition('/')[0]}/{{id}}"


def _user_paths(ways_in: WaysIn) -> Mapping[str, _Path]:
    files = {path: _Path(_READ, _serving(file, ways_in)) for path, file in client_files().items()}
    return {
        **files,
        "/v1/me/stream": _Path(("GET",), ways_in.stream),
        "/v1/me/ws": _Path(("GET",), ways_in.websocket),
        "/v1/me/tickets": _Path(("POST",), ways_in.ticket),
    }


def _serving(file: ClientFile, ways_in: WaysIn) -> _Handler:
    async def serve(request: Request, send: Send) -> None:
        cors = ways_in.cors(request.headers.get(b"origin"))
        is_kept = file.is_kept(request.headers.get(b"if-none-match", ""))
        await answer_file(send, file, cors, is_kept=is_kept)

    return serve
