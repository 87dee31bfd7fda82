"""Whether a server speaks plain Redis or TLS, asked after a connection of the other kind failed.

A server that merely hangs answers neither: only what it says is taken for proof.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    RedisError,
)

Address = tuple[str, int]

_WAIT_S: Final = 0.5
_REMEMBERED_S: Final = 60.0
_MOST_ADDRESSES: Final = 1000
_PING: Final = b"PING\r\n"
#: How a reply to PING begins: +PONG, or an error such as -NOAUTH.
_REPLIES: Final = (b"+", b"-")


class Verdicts:
    """Which addresses speak another scheme than they were spoken to, each asked once a minute.

    An address that we have logged in at is never asked: it is away, and speaks what it spoke.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[Address, tuple[float, bool]] = {}

    def fits(self, address: Address) -> None:
        """Record that a login succeeded."""
        self._note(address, inf, other=False)

    def speaks_other(self, address: Address, ask: Callable[[str, int], bool]) -> bool:
        """Return what *ask* answers, now or within the last minute."""
        if address not in self._known or self._known[address][0] <= self._clock():
            # Noted first: other threads do not ask as well.
            self._note(address, self._clock() + _REMEMBERED_S, other=False)
            self._note(address, self._clock() + _REMEMBERED_S, other=ask(*address))
        return self._known[address][1]

    async def speaks_other_async(
        self, address: Address, ask: Callable[[str, int], Awaitable[bool]]
    ) -> bool:
        """Return what *ask* answers, now or within the last minute."""
        if address not in self._known or self._known[address][0] <= self._clock():
            self._note(address, self._clock() + _REMEMBERED_S, other=False)
            self._note(address, self._clock() + _REMEMBERED_S, other=await ask(*address))
        return self._known[address][1]

    def _note(self, address: Address, until: float, *, other: bool) -> None:
        if len(self._known) >= _MOST_ADDRESSES and address not in self._known:
            self._known.clear()
        self._known[address] = (until, other)


#: Of those that were spoken to without TLS, and with it.
WITHOUT_TLS: Final = Verdicts()
WITH_TLS: Final = Verdicts()


def speaks_plain(host: str, port: int) -> bool:
    """Return whether a server answers PING without TLS, within a second."""
    with suppress(OSError), socket.create_connection((host, port), _WAIT_S) as plain:
        plain.sendall(_PING)
        return plain.recv(1) in _REPLIES
    return False


async def speaks_plain_async(host: str, port: int) -> bool:
    """Return whether a server answers PING without TLS, within a second."""
    writer = None
    try:
        async with asyncio.timeout(2 * _WAIT_S):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_PING)
            return await reader.read(1) in _REPLIES
    except OSError:
        return False
    finally:
        if writer is not None:
            writer.transport.abort()


def speaks_tls(host: str, port: int) -> bool:
    """Return whether a server takes part in a TLS handshake, within a second."""
    try:
        with socket.create_connection((host, port), _WAIT_S) as plain:
            _any_server().wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        return _is_alert(error)
    return True


async def speaks_tls_async(host: str, port: int) -> bool:
    """Return whether a server takes part in a TLS handshake, within a second."""
    try:
        async with asyncio.timeout(2 * _WAIT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=_any_server())
    except OSError as error:
        return _is_alert(error)
    writer.transport.abort()
    return True


def _any_server() -> ssl.SSLContext:
    """Return what accepts every certificate: nothing is sent but the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_alert(error: OSError) -> bool:
    """Return whether the other side ended a handshake in the words of TLS."""
    return isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason or "")


def may_be_tls(error: RedisError) -> bool:
    """Return whether a login ended as it does where a TLS server is spoken to without it."""
    said = isinstance(error, AuthenticationError | BusyLoadingError)
    return isinstance(error, ConnectionError | InvalidResponse) and not said


def may_be_plain(error: OSError) -> bool:
    """Return whether a TLS handshake ended as it does where a plain server is spoken to."""
    elsewhere = (ConnectionRefusedError, ssl.SSLCertVerificationError, socket.gaierror)
    return not isinstance(error, elsewhere)
