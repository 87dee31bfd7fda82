"""The sockets of the API, and connections that may not dawdle."""

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

from galaxy_notify.http.manners import ALWAYS_SENT
from galaxy_notify.http.problems import MEDIA_TYPE, unread

_BACKLOG: Final = 2048
#: From the connect, or the first byte of a request, to the end of its head.
HEAD_S: Final = 10.0


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


def told(error: OSError) -> str:
    """Say why an address cannot be listened on."""
    # asyncio and the look-up of names add their own words, and the address again.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def check_host(host: str) -> None:
    """Find out whether a host can be listened on, at no port in particular; raise ``OSError``."""
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
    """A connection that is closed where the head of a request does not come in time."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Wait on, while what has come is no whole head."""
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
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_waiting()
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
