"""A stream over a WebSocket: the same messages, each as JSON text.

The handshake is ours, since the HTTP server has read it, and so are the frames of messages, each
built once for all streams. What clients send is read by websockets' protocol without I/O; a client
that sends nothing has none of it.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, State
from websockets.protocol import Protocol as FrameReader
from websockets.utils import accept_key

from galaxy_notify.realtime.connection import Connection, Headers
from galaxy_notify.realtime.message import Message
from galaxy_notify.realtime.stream import Stream
from galaxy_notify.web.problems import Problem

#: The longest message of a client, in bytes.
_MOST_BYTES: Final = 1 << 16
#: The most to read at a time, in bytes, and the frames in it. To read a frame takes 50 µs however
#: small it is, and nobody else is served meanwhile.
_PIECE_BYTES: Final = 1 << 10
_PIECE_FRAMES: Final = 32
_MESSAGES: Final = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
#: Takes a message of the client of a stream.
Heard: TypeAlias = Callable[[Stream, bytes], object]
_VERSION: Final = "13"
_KEY_BYTES: Final = 16
_TOKEN: Final = re.compile(r"[^,\s]+")


def handshake(headers: Mapping[bytes, str], offer: bytes) -> Headers:
    """Return the headers that accept a WebSocket; raise a `Problem` for what does not ask for one.

    Extensions are not accepted: compression would cost each connection 100 KiB.
    """
    wanted = {one.lower() for one in _TOKEN.findall(headers.get(b"connection", ""))}
    if b"websocket" not in offer.replace(b",", b" ").split() or "upgrade" not in wanted:
        needed = {"Upgrade": "websocket", "Connection": "Upgrade"}
        raise Problem("upgrade-required", "this is the path of a WebSocket", (), needed)
    if headers.get(b"sec-websocket-version") != _VERSION:
        detail = f"the version of a WebSocket must be {_VERSION}"
        needed = {"Sec-WebSocket-Version": _VERSION}
        raise Problem("upgrade-required", detail, (), needed)
    key = headers.get(b"sec-websocket-key", "")
    if not _is_key(key):
        raise Problem("bad-request", "Sec-WebSocket-Key must be 16 bytes in Base64")
    return (
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", accept_key(key).encode()),
    )


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_key(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == _KEY_BYTES
    except (NotBase64, ValueError):
        return False


class WebSocketConnection(Connection):
    """Writes the messages of a stream as text frames; answers pings, and the client's close.

    What the client says is handed on. Where nobody hears it, the client is sent away.
    """

    __slots__ = ("_hear", "_pieces", "_reader")
    _STATUS = b"HTTP/1.1 101 Switching Protocols\r\n"
    _PING = Frame(Opcode.PING, b"").serialize(mask=False)
    _reader: FrameReader | None

    def __init__(
        self,
        stream: Stream,
        sent: Callable[[Sequence[Message]], object],
        closed: Callable[[Connection], object],
        hear: Heard | None = None,
    ) -> None:
        """Prepare; *hear* is called with each message of the client."""
        super().__init__(stream, sent, closed)
        self._hear = hear
        #: What came of a message in pieces; empty, and it costs nothing, between two messages.
        self._pieces = b""

    def start(self, transport: asyncio.Transport, headers: Headers) -> None:
        """Accept the WebSocket."""
        self._reader = None
        transport.max_size = _PIECE_BYTES  # type: ignore[attr-defined]  # of a socket's transport
        super().start(transport, headers)

    def pause_writing(self) -> None:
        """Read nothing either: who takes no answers could have ever more of them wait in memory."""
        super().pause_writing()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: all was sent."""
        self._transport.resume_reading()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Answer what the client sends."""
        reader = self._reader
        if reader is None:
            reader = self._reader = FrameReader(SERVER, state=State.OPEN, max_size=_MOST_BYTES)
        reader.receive_data(data)
        self._received(reader)

    def eof_received(self) -> bool:
        """Close, as the client did without a word."""
        return False

    def _received(self, reader: FrameReader) -> None:
        frames = reader.events_received()
        if len(frames) > _PIECE_FRAMES:
            reader.fail(CloseCode.POLICY_VIOLATION, "too many frames")
        else:
            self._take(reader, [one for one in frames if isinstance(one, Frame)])
        self._transport.write(b"".join(reader.data_to_send()))
        if reader.close_expected():
            self._is_over = True
            self._transport.close()

    def _take(self, reader: FrameReader, frames: Sequence[Frame]) -> None:
        """Hand on each message that is complete; a client that may say none is sent away."""
        for one in frames:
            if one.opcode not in _MESSAGES:
                continue
            if self._hear is None:
                reader.fail(CloseCode.POLICY_VIOLATION, "clients send nothing")
                return
            if one.opcode is Opcode.BINARY:
                reader.fail(CloseCode.UNSUPPORTED_DATA, "messages are texts")
                return
            # The reader has checked their order, and how much they are together.
            self._pieces += one.data
            if one.fin:
                text, self._pieces = self._pieces, b""
                if not _is_text(text):
                    reader.fail(CloseCode.INVALID_DATA, "the message is not UTF-8")
                    return
                self._hear(self.stream, text)

    def _frame(self, message: Message) -> bytes:
        return message.websocket

    def _first(self) -> bytes:
        return b""

    def _last(self, message: Message) -> bytes:
        close = Frame(Opcode.CLOSE, int(CloseCode.GOING_AWAY).to_bytes(2, "big"))
        return message.websocket + close.serialize(mask=False)
