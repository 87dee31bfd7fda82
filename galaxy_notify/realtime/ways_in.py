"""How clients come in: a stream of server-sent events, a WebSocket, a ticket for either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

import redis.asyncio

from galaxy_notify.realtime.access import Access, Headers, unauthorized
from galaxy_notify.realtime.answers import answer_json
from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.connection import Connection, retry_ms
from galaxy_notify.realtime.connections import Connections, Refusal
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.logouts import Logouts
from galaxy_notify.realtime.message import Message
from galaxy_notify.realtime.own_preferences import OwnPreferences
from galaxy_notify.realtime.own_subscriptions import OwnSubscriptions
from galaxy_notify.realtime.request import Request, Send
from galaxy_notify.realtime.sse import HEADERS, SseConnection
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.realtime.websocket import Heard, WebSocketConnection, handshake
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.tickets import LIFETIME_MS, Grant, Tickets
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.web.problems import Problem, retry_after


class Serving(NamedTuple):
    """What serves the users of a deployment."""

    instance: Instance
    tickets: Tickets
    logouts: Logouts
    preferences: OwnPreferences
    subscriptions: OwnSubscriptions


_Opening: TypeAlias = Callable[
    [Stream, Callable[[Sequence[Message]], object], Callable[[Connection], object]], Connection
]
_NOBODY: Final = TokenUser("", 0.0, 0.0)


#: A client that comes while the deployment is not known yet waits for at most this long.
_BEGIN_S: Final = 5.0


class WaysIn:
    """Lets users in and begins their streams."""

    def __init__(
        self, settings: RealtimeSettings, connections: Connections, hear: Heard | None = None
    ) -> None:
        """Read the key of users' tokens; raise `ConfigurationError` if it cannot be used.

        *hear* takes what clients say over a WebSocket; without it they may say nothing.
        """
        # What serves users; None while the deployment is not known yet.
        self._serving: Serving | None = None
        self._began = asyncio.Event()
        self._connections = connections
        self._hear = hear
        self._limits = BufferLimits(settings.buffer_events, settings.buffer_bytes)
        self._log = get_logger("realtime")
        self.configure(settings)

    def configure(self, settings: RealtimeSettings) -> None:
        """Take keys and origins of new settings; raise `ConfigurationError`."""
        self._access = Access(settings)

    def begin(self, instance: Instance, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        """Serve users of a deployment from now on."""
        redis = client, key_space
        self._serving = Serving(
            instance,
            Tickets(*redis),
            Logouts(*redis),
            OwnPreferences(*redis),
            OwnSubscriptions(*redis),
        )
        self._began.set()

    def cors(self, origin: str | None, *, preflight: bool = False) -> Headers:
        """Return the headers that let pages of other hosts read an answer."""
        return self._access.cors(origin, preflight=preflight)

    def cors_for(self, request: Request) -> Headers:
        """Return these headers for the answer to a request."""
        return self._access.cors(request.headers.get(b"origin"))

    async def stream(self, request: Request, _send: Send) -> None:
        """Begin a stream of server-sent events."""
        user = await self._user(request, only_reads=True)
        headers = [*HEADERS, *self.cors_for(request)]
        await self._open(request, user, SseConnection, headers)

    async def websocket(self, request: Request, _send: Send) -> None:
        """Begin a stream over a WebSocket."""
        headers = handshake(request.headers, request.offer)
        user = await self._user(request, only_reads=False)
        await self._open(request, user, self._websocket, headers)

    async def ticket(self, request: Request, send: Send) -> None:
        """Issue a ticket to who asks."""
        user = self._token_user(request, only_reads=False)
        # It counts as a connect: whatever clients ask, Redis is not kept busy.
        serving = await self._admit()
        if isinstance(serving, Refusal):
            raise Problem("busy", "no ticket can be issued now", (), retry_after(serving.retry_ms))
        try:
            ticket = await serving.tickets.issue(Grant(*user))
        except RedisFault as error:
            detail = f"no ticket can be issued now: {error.fault.code}"
            raise Problem("unavailable", detail, (), retry_after(retry_ms())) from error
        document = {"ticket": ticket, "expires_in_s": LIFETIME_MS // 1000}
        await answer_json(send, document, self.cors_for(request))

    async def known_user(self, request: Request, *, only_reads: bool) -> TokenUser:
        """Return who asks for something of its own; raise a `Problem`.

        While Redis is away, nobody counts as logged out.
        """
        return (await self.known(request, only_reads=only_reads))[0]

    async def known(self, request: Request, *, only_reads: bool) -> tuple[TokenUser, Serving]:
        """Return who asks, and what serves all users; see `known_user`."""
        user = self._token_user(request, only_reads=only_reads)
        serving = await self._begun()
        if serving is None:
            detail = "the gateway has not reached Redis yet"
            raise Problem("unavailable", detail, (), retry_after(retry_ms()))
        if await serving.logouts.voids(user):
            raise unauthorized("the user was logged out", "invalid_token")
        return user, serving

    async def _user(self, request: Request, *, only_reads: bool) -> TokenUser | None:
        """Return who asks, by ticket or token; None where Redis cannot be asked about a ticket."""
        ticket = request.parameters.get("ticket")
        if ticket is None or b"authorization" in request.headers:
            return self._token_user(request, only_reads=only_reads)
        serving = await self._begun()
        if serving is None:
            return None
        try:
            grant = await serving.tickets.redeem(ticket)
        except RedisFault:
            return None
        if grant is None:
            raise unauthorized("the ticket is not valid, or was used", "invalid_token")
        user = TokenUser(*grant)
        if not user.expires_in_s:
            raise unauthorized("the token of the ticket has expired", "invalid_token")
        return user

    def _token_user(self, request: Request, *, only_reads: bool) -> TokenUser:
        return self._access.user(request.headers, only_reads=only_reads)

    async def _begun(self) -> Serving | None:
        """Wait a moment for what serves users: a process that has just started joins soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BEGIN_S):
                await self._began.wait()
        return self._serving

    async def _open(
        self,
        request: Request,
        user: TokenUser | None,
        kind: _Opening,
        headers: Headers,
    ) -> None:
        """Begin a stream, or send the client away with the reason; both outlive this call."""
        serving = await self._admit() if user else _stopped()
        name, issued_at, _ = user or _NOBODY
        stream = Stream(name, self._limits, issued_at)
        connection = kind(stream, self._connections.sent, self._ended)
        transport = request.hand_over(connection)
        if transport is None:
            return
        connection.start(transport, headers)
        if isinstance(serving, Refusal):
            connection.end(*serving)
        elif user:
            self._connections.add(connection, user)
            serving.instance.arrive(Arrival(stream, request.cursor))
            self._log.debug("stream opened", user=name)

    async def _admit(self) -> Serving | Refusal:
        """Return what serves one more client, or why it may not come in now."""
        serving = await self._begun()
        return _stopped() if serving is None else self._connections.refusal() or serving

    def _ended(self, connection: Connection) -> None:
        """Forget a stream whose connection is closed."""
        stream, reason = connection.stream, connection.end_reason or "left"
        if self._serving is not None:
            self._serving.instance.depart(stream)
        self._connections.remove(connection)
        self._log.debug("stream closed", user=stream.user, reason=reason)

    def _websocket(
        self,
        stream: Stream,
        sent: Callable[[Sequence[Message]], object],
        closed: Callable[[Connection], object],
    ) -> Connection:
        return WebSocketConnection(stream, sent, closed, self._hear)


def _stopped() -> Refusal:
    """Without a deployment, or while Redis is away, nobody can be served, as in a stop."""
    return Refusal("shutdown", retry_ms())
