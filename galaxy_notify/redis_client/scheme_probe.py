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
from typing import Any, Final

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    InvalidResponse,
)

from galaxy_notify.redis_client.faults import address_of
from galaxy_notify.redis_client.tls import WrongScheme

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

    def __init__(self, speaks_other: Callable[[str, int], bool], text: str) -> None:
        """Prepare; *text* is the end of a sentence about a server that speaks the other scheme."""
        self._speaks_other = speaks_other
        self._text = text
        self._known: dict[str, tuple[float, bool]] = {}

    def fits(self, connection: Any) -> None:
        """Record that a login succeeded."""
        self._note(address_of(connection), inf, other=False)

    def wrong_scheme(self, connection: Any) -> WrongScheme | None:
        """Return the error for a server that speaks the other scheme; asks for a second at most."""
        address = address_of(connection)
        if self._last(address)[0] <= monotonic():
            until = monotonic() + _REMEMBERED_S
            # Noted first: other threads do not ask as well.
            self._note(address, until, other=False)
            self._note(address, until, other=self._speaks_other(connection.host, connection.port))
        text = f"the server at {address} {self._text}"
        return WrongScheme(text) if self._last(address)[1] else None

    async def wrong_scheme_async(self, connection: Any) -> WrongScheme | None:
        """Return the same; a thread asks, while the loop goes on."""
        if self._last(address_of(connection))[0] > monotonic():
            return self.wrong_scheme(connection)
        with suppress(TimeoutError):
            async with asyncio.timeout(2 * _WAIT_S):
                return await asyncio.to_thread(self.wrong_scheme, connection)
        return None

    def _last(self, address: str) -> tuple[float, bool]:
        return self._known.get(address, (-inf, False))

    def _note(self, address: str, until: float, *, other: bool) -> None:
        if len(self._known) >= _MOST_ADDRESSES and address not in self._known:
            self._known.clear()
        self._known[address] = (until, other)


def _speaks_plain(host: str, port: int) -> bool:
    """Return whether a server answers PING without TLS, within a second."""
    with suppress(OSError), socket.create_connection((host, port), _WAIT_S) as plain:
        plain.sendall(_PING)
        return plain.recv(1) in _REPLIES
    return False


def _speaks_tls(host: str, port: int) -> bool:
    """Return whether a server takes part in a TLS handshake, within a second."""
    try:
        with (
            socket.create_connection((host, port), _WAIT_S) as plain,
            _any_server().wrap_socket(plain, server_hostname=host) as wrapped,
        ):
            # Where the other side has reset the connection, it is wrapped without a handshake.
            return wrapped.version() is not None
    except OSError as error:
        return _is_alert(error)


def _any_server() -> ssl.SSLContext:
    """Return what accepts every certificate: nothing is sent but the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _is_alert(error: OSError) -> bool:
    """Return whether the other side ended a handshake in the words of TLS."""
    return isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason or "")


def may_be_tls(error: Exception) -> bool:
    """Return whether a login ended as it does where a TLS server is spoken to without it."""
    said = isinstance(error, AuthenticationError | BusyLoadingError)
    return isinstance(error, ConnectionError | InvalidResponse) and not said


def may_be_plain(error: Exception) -> bool:
    """Return whether a TLS handshake ended as it does where a plain server is spoken to."""
    elsewhere = (ConnectionRefusedError, ssl.SSLCertVerificationError, socket.gaierror)
    return not isinstance(error, elsewhere)


#: Of those that were spoken to without TLS, and with it.
WITHOUT_TLS: Final = Verdicts(
    _speaks_tls, "speaks TLS: use rediss:// in redis.url, or its plain port"
)
WITH_TLS: Final = Verdicts(
    _speaks_plain, "does not speak TLS: use redis:// in redis.url, or its TLS port"
)
