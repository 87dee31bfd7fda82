"""Clients of a gateway over raw sockets, and the record of what each of them got."""

from __future__ import annotations

import re
import socket
from collections import deque
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.event_stream import (
    ChunkedBody,
    EventParser,
    Frame,
    OpenBody,
    SizedBody,
)
from tests.support.wait import HANG_S

PATH = "/v1/me/stream"
_CURSOR = re.compile(r"[0-9A-Za-z]+\.(\d+)\.[0-9a-f]{1,4}")
_PIECE = 1 << 16


def connect(url: str, *, receive_bytes: int = 0) -> socket.socket:
    """Open a connection; one that takes at most *receive_bytes* unread, if they are given."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    assert host is not None
    peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    peer.settimeout(HANG_S)
    if receive_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    peer.connect((host, port))
    return peer


def request(path: str = PATH, method: str = "GET", **headers: str) -> bytes:
    """Return a request; the names of headers are given with ``_`` for ``-``."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class StreamClient(AbstractContextManager["StreamClient"]):
    """One connection that reads a stream."""

    def __init__(self, peer: socket.socket, sent: bytes) -> None:
        """Send a request and read the head of its answer."""
        self.peer = peer
        self.parser = EventParser()
        self.body = b""
        self._frames: deque[Frame] = deque()
        peer.sendall(sent)
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            if not (data := self._received()):
                raise ConnectionResetError("the connection has ended before the answer")
            buffer += data
        head, _, rest = buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)
        self.is_over = False
        self._body = _body_of(self.headers)
        self._feed(rest)

    def frame(self) -> Frame:
        """Return the next event; fail where the stream ends without one."""
        while not self._frames:
            if self.is_over:
                raise EOFError("the stream has ended")
            self._feed(self._received())
        return self._frames.popleft()

    def expect(self, kind: str) -> Frame:
        """Return the next event, which must be of this kind.

        A `status` is passed over unless it is what is expected: on a machine that stands still for
        a moment, Redis seems to be away to a gateway.
        """
        while (frame := self.frame()).kind == "status" != kind:
            pass
        assert frame.kind == kind, frame
        return frame

    def until(self, kind: str) -> list[Frame]:
        """Return all events up to the first one of this kind."""
        frames = [self.frame()]
        while frames[-1].kind != kind:
            frames.append(self.frame())
        return frames

    def rest(self) -> list[Frame]:
        """Return all events up to the end of the stream."""
        while not self.is_over:
            self._feed(self._received())
        found = list(self._frames)
        self._frames.clear()
        return found

    def comment(self) -> None:
        """Wait for a comment; events that come meanwhile are kept."""
        before = self.parser.comments
        while self.parser.comments == before:
            assert not self.is_over, "the stream has ended"
            self._feed(self._received())

    def close(self) -> None:
        """Leave."""
        self.peer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _received(self) -> bytes:
        return self.peer.recv(_PIECE)

    def _feed(self, data: bytes) -> None:
        self.body += (found := self._body.feed(data))
        self.is_over = self._body.is_over
        if "event-stream" in self.headers.get("content-type", ""):
            self._frames.extend(self.parser.feed(found))


def _body_of(headers: dict[str, str]) -> ChunkedBody | SizedBody | OpenBody:
    if headers.get("transfer-encoding") == "chunked":
        assert "content-length" not in headers
        return ChunkedBody()
    if "content-length" in headers:
        return SizedBody(int(headers["content-length"]))
    return OpenBody()


class Follower:
    """A user over all connections: resumes behind its last id, and notes what it was sent."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.cursor = ""
        self.offsets: list[int] = []
        self.numbers: list[int] = []
        self.kinds: list[str] = []
        self.endings: list[str] = []
        self._token = token
        self.client: StreamClient | None = None

    def connect(self) -> Frame:
        """Open a connection and return its first event."""
        self.leave()
        more = {"Last_Event_ID": self.cursor} if self.cursor else {}
        sent = request(Authorization=f"Bearer {self._token}", **more)
        self.client = StreamClient(connect(self.url), sent)
        assert self.client.status == 200, self.client.body
        return self.next()

    def next(self) -> Frame:
        """Read the next event and note it; fail where it is not the one to come."""
        assert self.client is not None
        frame = self.client.frame()
        self.kinds.append(frame.kind)
        if frame.kind in ("hello", "notification"):
            self.cursor = frame.id
        if frame.kind == "notification":
            offset = frame.data["offset"]
            found = _CURSOR.fullmatch(frame.id)
            assert found is not None, frame
            assert int(found[1]) == offset, frame
            assert not self.offsets or offset == self.offsets[-1] + 1, (self.offsets[-3:], frame)
            self.offsets.append(offset)
            self.numbers.append(frame.data["data"]["number"])
        elif frame.kind == "bye":
            self.endings.append(frame.data["reason"])
        return frame

    def follow(self, *numbers: int) -> None:
        """Read, and connect again after each `bye`, until the events of these numbers are there."""
        while not set(numbers).issubset(self.numbers):
            try:
                is_over = self.client is None or self.next().kind == "bye"
            except (OSError, EOFError):
                is_over = True
            if is_over:
                self.connect()

    def leave(self) -> None:
        """Close the connection."""
        if self.client is not None:
            self.client.close()
            self.client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.leave()
