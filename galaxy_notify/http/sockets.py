"""The sockets of the API, and connections with limits of time."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from galaxy_notify.http.responses import ALWAYS_SENT, MEDIA_TYPE, unread
from galaxy_notify.telemetry.logs import get_logger

_BACKLOG: Final = 2048
#: From the connect, or the first byte of a request, to the end of its head.
HEAD_S: Final = 10.0
#: The most bytes of a head; a longer one is refused.
HEAD_BYTES: Final = 1 << 16
#: The most to read at a time, in bytes. In chunks of one byte h11 takes 25 ms to parse this; for
#: the 256 KiB that asyncio reads it would take a second, in which nothing else is served.
PIECE_BYTES: Final = 1 << 15
#: How long the rest of an unreadable request is read and thrown away, so that its answer arrives.
LINGER_S: Final = 2.0
#: A client that reads nothing of its answer for this long is dropped.
UNREAD_S: Final = 30.0


def listen(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on every address of *host*; raise ``OSError``.

    With port 0 all have the port that the first one found free.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            chosen = made[0].getsockname()[1] if made else port
            made.append(_listening(family, (address[0], chosen, *address[2:])))
    except BaseException:
        for one in made:
            one.close()
        raise
    return made


def listen_error(error: OSError) -> str:
    """Return why an address cannot be listened on."""
    # asyncio and the look-up of names add their own words, and the address again.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def check_host(host: str) -> None:
    """Raise ``OSError`` if a host cannot be listened on, at a port of the system's choice."""
    for one in listen(host, 0):
        one.close()


def _listening(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.create_server(
        cast("tuple[str, int]", address), family=family, backlog=_BACKLOG, dualstack_ipv6=False
    )
    # Connections have it from here. asyncio sets it only where a socket names its protocol; without
    # it the body of an answer waits up to 40 ms until the head was acknowledged.
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class BoundedProtocol(H11Protocol):
    """A connection that is closed where a head does not come, or an answer is not read, in time."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request; read little at a time, so that others are served, too."""
        super().connection_made(transport)
        # An attribute of asyncio's transport over sockets; its 256 KiB are too much for one turn.
        transport.max_size = PIECE_BYTES  # type: ignore[attr-defined]
        # All that is not sent yet counts as unread.
        transport.set_write_buffer_limits(high=0)
        self._wait_for_head()

    def pause_writing(self) -> None:
        """Wait until the client reads what it was sent."""
        super().pause_writing()
        self._wait_for_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on: all was sent."""
        super().resume_writing()
        self._forget_unread()

    def data_received(self, data: bytes) -> None:
        """Wait on, while what has come is no whole head."""
        if self._is_refused:
            return
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read as a request, in the form of every other answer."""
        # Called where the error is handled, which knows best which status fits.
        status = getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST)
        rest, _ = self.conn.trailing_data
        if status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE and b"\n" not in rest:
            status = HTTPStatus.REQUEST_URI_TOO_LONG
        body, kind = unread(status)
        headers = [
            (b"date", formatdate(usegmt=True).encode()),
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *ALWAYS_SENT,
        ]
        answer = h11.Response(status_code=kind, headers=headers, reason=HTTPStatus(kind).phrase)
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self._linger()

    def _linger(self) -> None:
        """Send the end of output; a close while the client still sends would lose the answer."""
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_waiting()
        self._forget_unread()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _wait_for_reader(self, unread: int) -> None:
        self._forget_unread()
        self._unread = self.loop.call_later(UNREAD_S, self._leave_unread, unread)

    def _leave_unread(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._wait_for_reader(left)
        else:
            get_logger("http").warning("response write timed out", unread_bytes=left)
            # To close it would wait for the client to read.
            self.transport.abort()

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
