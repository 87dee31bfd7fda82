"""A client of a WebSocket over a raw socket, and the frames that clients may and may not send."""

from __future__ import annotations

import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple

from tests.support.gateways import GatewayProcess, token
from tests.support.streams import connect, request

PATH = "/v1/me/ws"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
#: What RFC 6455 has a server answer to that key.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
#: What a handshake must have; the names of headers as `request` takes them.
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec_WebSocket_Key": KEY,
    "Sec_WebSocket_Version": "13",
}
_PIECE = 1 << 16


class Said(NamedTuple):
    """A message of the gateway."""

    kind: str
    id: str | None
    data: Any


def frame(opcode: int, data: bytes = b"", first: int = 0x80, *, mask: bool = True) -> bytes:
    """Return a frame; *first* are the high bits of its first byte: FIN alone, if not given."""
    size = len(data)
    if size < 126:
        length = bytes([size | 0x80 * mask])
    elif size < 1 << 16:
        length = struct.pack("!BH", 126 | 0x80 * mask, size)
    else:
        length = struct.pack("!BQ", 127 | 0x80 * mask, size)
    if not mask:
        return bytes([first | opcode]) + length + data
    key = os.urandom(4)
    masked = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
    return bytes([first | opcode]) + length + key + masked


class WebSocketClient(AbstractContextManager["WebSocketClient"]):
    """One WebSocket. Pings are answered only where a test does it."""

    def __init__(self, peer: socket.socket, sent: bytes) -> None:
        """Send a handshake and read the head of its answer."""
        self.peer = peer
        self._buffer = b""
        peer.sendall(sent)
        while b"\r\n\r\n" not in self._buffer:
            if not self._receive():
                raise ConnectionResetError("the connection has ended before the answer")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.peer.sendall(b"".join(frames))

    def frame(self) -> tuple[int, bytes] | None:
        """Return the opcode and the data of the next frame; None at the end of the connection."""
        while (found := self._take()) is None:
            if not self._receive():
                assert not self._buffer, "the connection has ended in the middle of a frame"
                return None
        return found

    def said(self) -> Said:
        """Return the next frame, which must be a message."""
        found = self.frame()
        assert found is not None, "the connection has ended"
        opcode, data = found
        assert opcode == TEXT, found
        message = json.loads(data)
        assert list(message) == ["event", "id", "data"]
        return Said(*message.values())

    def expect(self, kind: str) -> Said:
        """Return the next message, which must be of this kind; see `StreamClient.expect`."""
        while (said := self.said()).kind == "status" != kind:
            pass
        assert said.kind == kind, said
        return said

    def until(self, kind: str) -> list[Said]:
        """Return all messages up to the first one of this kind."""
        found = [self.said()]
        while found[-1].kind != kind:
            found.append(self.said())
        return found

    def ends_with(self) -> int:
        """Return the code with which the gateway closes, after which nothing may come."""
        found = self.frame()
        assert found is not None, "the connection has ended without a word"
        opcode, data = found
        assert opcode == CLOSE, found
        assert self.frame() is None
        return int.from_bytes(data[:2], "big")

    def is_over(self) -> bool:
        """Read to the end of the connection; return whether it was closed without an error."""
        try:
            while self._receive():
                pass
        except ConnectionResetError:
            return False
        return True

    def close(self) -> None:
        """Leave without a word."""
        self.peer.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _receive(self) -> bool:
        data = self.peer.recv(_PIECE)
        self._buffer += data
        return bool(data)

    def _take(self) -> tuple[int, bytes] | None:
        """Return the next frame if all of it is there."""
        buffer, begin = self._buffer, 2
        if len(buffer) < begin:
            return None
        assert buffer[0] & 0x70 == 0, "an extension that nobody agreed on"
        assert buffer[0] & 0x80, "the gateway does not cut messages into pieces"
        size = buffer[1]
        assert size < 0x80, "a server masks nothing"
        if size > 125:
            width = 2 if size == 126 else 8
            begin += width
            size = int.from_bytes(buffer[2:begin], "big")
        if len(buffer) < begin + size or begin > len(buffer):
            return None
        self._buffer = buffer[begin + size :]
        return buffer[0] & 0x0F, buffer[begin : begin + size]


def handshake(user: str = "u1", query: str = "", **changed: str | None) -> bytes:
    """Return the request of a user; headers are changed, or left out where they are None."""
    headers: Mapping[str, str | None] = HANDSHAKE | {"Authorization": f"Bearer {token(user)}"}
    headers = {**headers, **changed}
    return request(PATH + query, **{name: value for name, value in headers.items() if value})


def open_websocket(
    gateway: GatewayProcess, user: str = "u1", query: str = "", **changed: str | None
) -> WebSocketClient:
    """Open a WebSocket of a user; use it in ``with``."""
    client = WebSocketClient(connect(gateway.url), handshake(user, query, **changed))
    assert client.status == 101, client.headers
    return client


def random_key() -> str:
    """Return a key as a client draws it."""
    return b64encode(os.urandom(16)).decode()
