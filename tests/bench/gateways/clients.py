"""Clients of all sides: bare sockets that keep what arrives, with the time at which it was read.

It is taken apart afterwards, so that reading costs both sides about the same.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jwt

from tests.bench.gateways.events import user_of
from tests.bench.gateways.frames import (
    MARK,
    frame,
    last_cursor,
    session_in,
    whole_answer,
    whole_sse,
)

if TYPE_CHECKING:
    from tests.bench.gateways.crowd_process import CrowdProcess

SECRET = "a-secret-of-the-benchmark-and-of-nobody-else"
AUDIENCE = "bench"


class Client(asyncio.Protocol):
    """One connection after the other of the same client."""

    whole = staticmethod(whole_sse)

    def __init__(self, crowd: CrowdProcess, number: int) -> None:
        self.number = number
        self.user = user_of(number, crowd.plan.users)
        self.chunks: list[tuple[int, bytes]] = []
        self.is_ready = False
        self.cursor = ""
        self._crowd = crowd
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._rest = b""
        transport.write(self.request())

    def data_received(self, data: bytes) -> None:
        """Keep what is whole."""
        now_us = time.time_ns() // 1000
        data = self._rest + data
        end = self.whole(data)
        self._rest = data[end:]
        if end:
            self.take(now_us, data[:end])

    def take(self, now_us: int, data: bytes) -> None:
        """Keep whole messages."""
        events = data.count(MARK)
        if events:
            self._crowd.received += events
            self.chunks.append((now_us, data))
        if not self.is_ready or not events:
            self.look(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Go elsewhere if the crowd says so."""
        was_ready, self.is_ready = self.is_ready, False
        self._crowd.lost(self, was_ready=was_ready)

    def become_ready(self) -> None:
        """Count as connected."""
        self.is_ready = True
        self._crowd.became_ready(self)

    def request(self) -> bytes:
        """Return what is sent first."""
        raise NotImplementedError

    def look(self, data: bytes) -> None:
        """Read what is no event."""
        raise NotImplementedError


class SseClient(Client):
    """Reads server-sent events of our gateway."""

    _PATH = "/v1/me/stream"
    _HELLO, _RESET = b"event: hello\n", b"event: reset\n"

    def request(self) -> bytes:
        """Ask for the stream, behind the last event of an earlier connection."""
        now = int(time.time())
        claims = {"sub": self.user, "aud": AUDIENCE, "iat": now, "exp": now + 3000}
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        chunks = b"".join(data for _, data in self.chunks)
        self.cursor = last_cursor(chunks) or self.cursor
        resume = (f"Last-Event-ID: {self.cursor}",) if self.cursor else ()
        return head(self._PATH, f"Authorization: Bearer {token}", *self.upgrade(), *resume)

    def upgrade(self) -> Sequence[str]:
        """Return the headers that ask for another protocol."""
        return ()

    def look(self, data: bytes) -> None:
        """Notice the first message, and a reset."""
        if self._HELLO in data:
            self.cursor = last_cursor(data) or self.cursor
            self._crowd.resumed += b'"resumed":true' in data
            self.become_ready()
        self._crowd.resets += data.count(self._RESET)


class WebSocketClient(SseClient):
    """Reads the same stream of our gateway over a WebSocket."""

    whole = staticmethod(whole_answer)
    _PATH = "/v1/me/ws"
    _HELLO, _RESET = b'{"event":"hello"', b'{"event":"reset"'

    def upgrade(self) -> Sequence[str]:
        return websocket(self.number)


class SocketIoClient(Client):
    """Speaks Engine.IO 4 over WebSocket, as much of it as a client of Socket.IO needs."""

    whole = staticmethod(whole_answer)

    def __init__(self, crowd: CrowdProcess, number: int) -> None:
        super().__init__(crowd, number)
        #: What its server calls the session, where it can be recovered.
        self._session = ""

    def request(self) -> bytes:
        """Ask for a WebSocket."""
        return head("/socket.io/?EIO=4&transport=websocket", *websocket(self.number))

    def look(self, data: bytes) -> None:
        """Answer what opens the connection, and each ping."""
        if b'40{"sid"' in data:
            session = session_in(data)
            self._crowd.resumed += bool(session) and session == self._session
            self._session = session
            self.become_ready()
        elif b'0{"sid"' in data:
            self.transport.write(frame(f"40{json.dumps(self._introduction())}"))
        if b"\x81\x012" in data:
            self.transport.write(frame("3"))

    def _introduction(self) -> dict[str, str]:
        """Name the user, and where to go on if the session may be recovered."""
        chunks = b"".join(data for _, data in self.chunks)
        self.cursor = last_cursor(chunks) or self.cursor
        if not (self._session and self.cursor):
            return {"user": self.user}
        return {"user": self.user, "pid": self._session, "offset": self.cursor}


def head(path: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def websocket(number: int) -> Sequence[str]:
    """Return the headers that ask for a WebSocket."""
    key = base64.b64encode(b"%016d" % number).decode()
    return (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
