"""One POST to an endpoint, within its time and a little memory, whatever the endpoint does.

Redirects are not followed, proxies of the environment are not used, no cookies are kept, and
nothing is unpacked: what a server outside answers is a status and a few bytes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from galaxy_notify import __version__
from galaxy_notify.channels.attempt import Attempt, answered, failed
from galaxy_notify.channels.dialing import dial
from galaxy_notify.channels.endpoint import Endpoint
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.idle_wires import IdleWires
from galaxy_notify.channels.resolver import Resolver
from galaxy_notify.channels.response import Garbled, Response
from galaxy_notify.channels.wire import TlsWire, Wire

MOST_BODY: Final = 262_144
#: The status decides; for the rest of a response there is this much time.
_REST_S: Final = 1.0
_LINE_ENDS: Final = frozenset("\r\n\0")


class WebhookSender:
    """Sends to endpoints that the guard allows, in one event loop; `close` it at the end.

    *tls* is the context for https; without it the authorities that the machine trusts are trusted.
    """

    def __init__(
        self, guard: Guard, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._guard = guard
        self._resolver = resolver or Resolver()
        self._tls = tls or ssl.create_default_context()
        self._idle = IdleWires()

    async def send(
        self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str], deadline: float
    ) -> Attempt:
        """Post the body, and return what became of it, at *deadline* (the loop's time) at last.

        *headers* are added to ours. The status decides as soon as it is there, whatever follows.
        Raises `OSError` only where this machine has no more sockets or memory, and `ValueError` for
        a header that has more than one line.
        """
        if len(body) > MOST_BODY:
            return Attempt("permanent", "too_large", f"the body has more than {MOST_BODY} bytes")
        request = _head(endpoint, headers, len(body)) + body
        response = Response()
        try:
            async with asyncio.timeout_at(deadline) as limit:
                await self._exchange(endpoint, request, response, limit)
        except (OSError, Garbled) as error:
            if response.status is None:
                return _unanswered(error, response)
        if response.status is None:
            return Attempt("transient", "disconnected", "it closed the connection without answer")
        return answered(response.status, response.retry_after, response.body)

    async def close(self) -> None:
        """Close what is kept open. Attempts under way end by themselves."""
        self._idle.close()
        self._resolver.close()

    async def _exchange(
        self, endpoint: Endpoint, request: bytes, response: Response, limit: asyncio.Timeout
    ) -> None:
        wire = self._idle.take(endpoint.origin) or await self._connect(endpoint)
        response.is_awaited = True
        try:
            # It may have answered before it had read all, and closed the connection.
            with suppress(ConnectionError):
                await wire.send(request)
            await _read(wire, response, limit)
        except BaseException:
            wire.close()
            raise
        if response.keeps_alive:
            self._idle.put(endpoint.origin, wire)
        else:
            wire.close()

    async def _connect(self, endpoint: Endpoint) -> Wire:
        addresses = await self._resolver.addresses(endpoint.host)
        connected = await dial(self._guard, addresses, endpoint.port)
        if endpoint.scheme == "http":
            return Wire(connected)
        wire = TlsWire(connected, self._tls, endpoint.host)
        try:
            await wire.shake_hands()
        except BaseException:
            wire.close()
            raise
        return wire


async def _read(wire: Wire, response: Response, limit: asyncio.Timeout) -> None:
    """Read until there is enough of the response, or its time is over."""
    while not response.enough:
        data = await wire.receive()
        if not data:
            return
        waited = response.status is None
        response.feed(data)
        if waited and response.status is not None:
            rest = asyncio.get_running_loop().time() + _REST_S
            limit.reschedule(min(rest, limit.when() or rest))


def _unanswered(error: Exception, response: Response) -> Attempt:
    """Return the attempt that an error ended; whether the request may have arrived shows in it."""
    if response.is_awaited and isinstance(error, ssl.SSLError):
        return failed(error)._replace(reason="disconnected")
    if not response.is_awaited and isinstance(error, TimeoutError):
        return Attempt("transient", "connect", "no connection in time")
    return failed(error)


def _head(endpoint: Endpoint, headers: Mapping[str, str], length: int) -> bytes:
    """Return the request line and the headers."""
    fields = {
        "Host": endpoint.authority,
        "User-Agent": f"galaxy-notify/{__version__}",
        "Content-Type": "application/json",
        "Content-Length": str(length),
        "Accept-Encoding": "identity",
        **headers,
    }
    if any(not _LINE_ENDS.isdisjoint(name + value) for name, value in headers.items()):
        raise ValueError("a header must have one line")
    lines = [f"{name}: {value}\r\n" for name, value in fields.items()]
    return f"POST {endpoint.target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode("latin-1")
