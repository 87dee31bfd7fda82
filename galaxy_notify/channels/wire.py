"""A connection that is read only when something is wanted, and only as much as is wanted.

Streams and protocols of asyncio take what comes: a quarter of a megabyte at a time, in copies, and
for TLS again. An endpoint that sends without end would have that of each attempt. Here the data
stays in the kernel, and the other side is made to wait.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

_PIECE: Final = 4096
_TLS_PIECE: Final = 16_384
#: All that may come in one exchange, with a handshake: certificates have up to 100 KB.
_ALLOWANCE: Final = 262_144

T = TypeVar("T")


class TooMuch(OSError):
    """The other side sends without end."""

    def __init__(self) -> None:
        super().__init__("it sends too much")


class Wire:
    """A connected socket, without TLS."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._loop = asyncio.get_running_loop()
        self._left = _ALLOWANCE

    @property
    def is_quiet(self) -> bool:
        """Nothing was sent without being asked for, and the connection was not closed."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def renew_allowance(self) -> None:
        """Begin another exchange."""
        self._left = _ALLOWANCE

    async def send(self, data: bytes) -> None:
        """Send all of it, as fast as the other side reads."""
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return some of what came, at most 4 KiB; nothing at the end."""
        return await self._received(_PIECE)

    def close(self) -> None:
        """Close it at once; what was not sent yet is lost."""
        self._socket.close()

    async def _received(self, most: int) -> bytes:
        data = await self._loop.sock_recv(self._socket, most)
        self._left -= len(data)
        if self._left < 0:
            raise TooMuch
        return data


class TlsWire(Wire):
    """A connected socket with TLS on it, after `shake_hands`."""

    def __init__(self, connected: socket.socket, tls: ssl.SSLContext, host: str) -> None:
        super().__init__(connected)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    @property
    def is_quiet(self) -> bool:
        """As of any wire; nothing was read from the socket that was not asked for, either."""
        return not (self._incoming.pending or self._tls.pending()) and super().is_quiet

    async def shake_hands(self) -> None:
        """Agree on keys, and check the certificate; raises `ssl.SSLError`."""
        await self._with_socket(self._tls.do_handshake)

    async def send(self, data: bytes) -> None:
        """Send all of it, as fast as the other side reads."""
        view = memoryview(data)
        for begin in range(0, len(view), _TLS_PIECE):
            piece = view[begin : begin + _TLS_PIECE]
            await self._with_socket(partial(self._tls.write, piece))

    async def receive(self) -> bytes:
        """Return some of what came, at most 4 KiB; nothing at the end."""
        try:
            return await self._with_socket(partial(self._tls.read, _PIECE))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def _with_socket(self, work: Callable[[], T]) -> T:
        """Do what may need data from the socket, and send what it wants to be sent."""
        while True:
            try:
                result = work()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._received(_TLS_PIECE)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                await self._flush()
                return result

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())
