"""A stream over a WebSocket, on a transport whose client reads what the test lets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import cast

import pytest

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.realtime.message import Message, hello
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.websocket import WebSocketConnection, handshake
from galaxy_notify.web.problems import Problem
from tests.support.websockets import ACCEPT, CLOSE, KEY, PING, PONG, TEXT, frame

_GOOD = {
    b"connection": "Upgrade",
    b"sec-websocket-version": "13",
    b"sec-websocket-key": KEY,
}


class _Transport:
    """What the connection wrote; whether it reads."""

    def __init__(self) -> None:
        self.written = b""
        self.is_reading = True
        self.is_closed = False
        self.max_size = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def close(self) -> None:
        self.is_closed = True

    def take(self) -> bytes:
        found, self.written = self.written, b""
        return found


def _with_connection(act: Callable[[WebSocketConnection, _Transport], None]) -> None:
    """Run a test on an open WebSocket."""

    async def scenario() -> None:
        transport = _Transport()
        connection = WebSocketConnection(Stream("u1", BufferLimits(9, 9999)), len, id)
        connection.start(cast("asyncio.Transport", transport), ())
        assert transport.take() == b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        act(connection, transport)

    asyncio.run(scenario())


def _server(opcode: int, data: bytes = b"") -> bytes:
    return frame(opcode, data, mask=False)


def test_handshake__is_accepted_as_the_standard_says() -> None:
    """The key is that of its example."""
    assert dict(handshake(_GOOD, b"h2c, websocket"))[b"sec-websocket-accept"] == ACCEPT.encode()


@pytest.mark.parametrize(
    ("changed", "offer", "status"),
    [
        ({}, b"", 426),
        ({}, b"h2c", 426),
        ({b"connection": "close"}, b"websocket", 426),
        ({b"sec-websocket-version": "12"}, b"websocket", 426),
        ({b"sec-websocket-key": ""}, b"websocket", 400),
        ({b"sec-websocket-key": KEY + "AAAA"}, b"websocket", 400),
        ({b"sec-websocket-key": KEY.replace("=", "*")}, b"websocket", 400),
        ({b"sec-websocket-key": "\u00e9" * 24}, b"websocket", 400),
    ],
)
def test_handshake__that_is_wrong_is_a_problem(
    changed: dict[bytes, str], offer: bytes, status: int
) -> None:
    """It says what is needed instead."""
    with pytest.raises(Problem) as caught:
        handshake(_GOOD | changed, offer)
    assert caught.value.status == status


def test_message__is_one_text_frame() -> None:
    """Rendered once; its id is null where it has no place."""
    message = hello(Cursor("e", 1, "abcd"), resumed=True)
    assert message.websocket is message.websocket
    assert message.websocket[:1] == bytes([0x80 | TEXT])
    told = json.loads(message.websocket[2:])
    assert told == {"event": "hello", "id": "e.1.abcd", "data": json.loads(message.data)}
    assert json.loads(Message("status", "{}").websocket[2:])["id"] is None


def test_reading__stops_while_the_client_takes_nothing() -> None:
    """Otherwise the answers to its pings would wait in memory without a bound."""

    def act(connection: WebSocketConnection, transport: _Transport) -> None:
        assert 0 < transport.max_size <= 4096
        connection.pause_writing()
        assert not transport.is_reading
        connection.resume_writing()
        assert transport.is_reading

    _with_connection(act)


def test_frames__come_in_any_pieces() -> None:
    """What is no message is answered, or ignored."""

    def act(connection: WebSocketConnection, transport: _Transport) -> None:
        for byte in frame(PING, b"a") + frame(PONG, b"b") + frame(PING):
            connection.data_received(bytes([byte]))
        assert transport.take() == _server(PONG, b"a") + _server(PONG)
        assert not transport.is_closed

    _with_connection(act)


@pytest.mark.parametrize("count", [32, 33])
def test_frames__are_bounded_in_a_piece(count: int) -> None:
    """Each takes time in which nobody else is served."""

    def act(connection: WebSocketConnection, transport: _Transport) -> None:
        connection.data_received(frame(PONG) * count)
        assert transport.is_closed == (count > 32)

    _with_connection(act)


def test_close__of_the_client_ends_all() -> None:
    """Nothing is written behind the answer, neither a ping nor a farewell."""

    def act(connection: WebSocketConnection, transport: _Transport) -> None:
        connection.data_received(frame(CLOSE, b"\x03\xe8"))
        assert transport.take() == _server(CLOSE, b"\x03\xe8")
        assert transport.is_closed
        connection.ping()
        connection.end("rotate")
        connection.stream.put(hello(Cursor("e", 1, "abcd"), resumed=False))
        connection.write()
        assert transport.take() == b""

    _with_connection(act)


def test_end__is_said_and_closed_once() -> None:
    """The reason as a message, then the close frame, and nothing more."""

    def act(connection: WebSocketConnection, transport: _Transport) -> None:
        connection.end("rotate")
        said = transport.take()
        assert said.endswith(_server(CLOSE, b"\x03\xe9"))
        assert b'"event":"bye","id":null,"data":{"reason":"rotate"' in said
        connection.end("slow")
        assert (transport.take(), transport.is_closed) == (b"", True)

    _with_connection(act)
