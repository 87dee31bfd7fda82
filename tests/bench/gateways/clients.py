"""Clients of both sides: bare sockets that keep what arrives, with the time at which it was read.

It is taken apart afterwards, so that reading costs both sides about the same.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING

import jwt

from tests.bench.gateways.events import user_of
from tests.bench.gateways.frames import MARK, frame, last_cursor, whole_frames, whole_sse

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

    def request(self) -> bytes:
        """Ask for the stream, behind the last event of an earlier connection."""
        now = int(time.time())
        claims = {"sub": self.user, "aud": AUDIENCE, "iat": now, "exp": now + 3000}
        token = jwt.encode(claims, SECRET, algorithm="HS256")
        chunks = b"".join(data for _, data in self.chunks)
        self.cursor = last_cursor(chunks) or self.cursor
        resume = f"Last-Event-ID: {self.cursor}\r\n" if self.cursor else ""
        head = f"GET /v1/me/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}"
        return f"{head}\r\n{resume}\r\n".encode()

    def look(self, data: bytes) -> None:
        """Notice the first message, and a reset."""
        if b"event: hello\n" in data:
            self.cursor = last_cursor(data) or self.cursor
            self._crowd.resumed += b'"resumed":true' in data
            self.become_ready()
        self._crowd.resets += data.count(b"event: reset\n")


class SocketIoClient(Client):
    """Speaks Engine.IO 4 over WebSocket, as much of it as a client of Socket.IO needs."""

    @staticmethod
    def whole(data: bytes) -> int:
        """Return how many bytes are whole; the head of the answer counts as well."""
        head = data.find(b"\r\n\r\n") + 4 if data.startswith(b"HTTP/") else 0
        if data.startswith(b"HTTP/") and head < 4:
            return 0
        return head + whole_frames(data[head:])

    def request(self) -> bytes:
        """Ask for a WebSocket."""
        key = base64.b64encode(b"%016d" % self.number).decode()
        lines = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
            "Host: localhost",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        return "\r\n".join([*lines, "", ""]).encode()

    def look(self, data: bytes) -> None:
        """Answer what opens the connection, and each ping."""
        if b'40{"sid"' in data:
            self.become_ready()
        elif b'0{"sid"' in data:
            self.transport.write(frame(f'40{{"user":"{self.user}"}}'))
        if b"\x81\x012" in data:
            self.transport.write(frame("3"))
