"""Whether a server speaks plain Redis or TLS, asked after a connection of the other kind failed.

A server that merely hangs answers neither: only what it says is taken for proof.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
    RedisError,
)

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

    def __init__(self, ask: Callable[[str, int], bool]) -> None:
        """Prepare; *ask* returns whether a server speaks the other scheme, within a second."""
        self._ask = ask
        self._known: dict[tuple[str, int], tuple[float, bool]] = {}

    def fits(self, host: str, port: int) -> None:
        """Record that a login succeeded."""
        self._note((host, port), inf, other=False)

    def speaks_other(self, host: str, port: int) -> bool:
        """Return what a server answers, now or within the last minute."""
        address = (host, port)
        if address not in self._known or self._known[address][0] <= monotonic():
            # Noted first: other threads do not ask as well.
            self._note(address, monotonic() + _REMEMBERED_S, other=False)
            self._note(address, monotonic() + _REMEMBERED_S, other=self._ask(host, port))
        return self._known[address][1]

    async def speaks_other_async(self, host: str, port: int) -> bool:
        """Return the same; a thread asks, while the loop goes on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _WAIT_S):
                return await asyncio.to_thread(self.speaks_other, host, port)
        return False

    def _note(self, address: tuple[str, int], until: float, *, other: bool) -> None:
        if len(self._known) >= _MOST_ADDRESSES and address not in self._known:
            self._known.clear()
        self._known[address] = (until, other)


def speaks_plain(host: str, port: int) -> bool:
    """Return whether a server answers PING without TLS, within a second."""
    with suppress(OSError), socket.create_connection((host, port), _WAIT_S) as plain:
        plain.sendall(_PING)
        return plain.recv(1) in _REPLIES
    return False


def speaks_tls(host: str, port: int) -> bool:
    """Return whether a server takes part in a TLS handshake, within a second."""
    try:
        with socket.create_connection((host, port), _WAIT_S) as plain:
            _any_server().wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        return _is_alert(error)
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


#: Of those that were spoken to without TLS, and with it.
WITHOUT_TLS: Final = Verdicts(speaks_tls)
WITH_TLS: Final = Verdicts(speaks_plain)


def may_be_tls(error: RedisError) -> bool:
    """Return whether a login ended as it does where a TLS server is spoken to without it."""
    said = isinstance(error, AuthenticationError | BusyLoadingError)
    return isinstance(error, ConnectionError | InvalidResponse) and not said


def may_be_plain(error: OSError) -> bool:
    """Return whether a TLS handshake ended as it does where a plain server is spoken to."""
    elsewhere = (ConnectionRefusedError, ssl.SSLCertVerificationError, socket.gaierror)
    return not isinstance(error, elsewhere)
