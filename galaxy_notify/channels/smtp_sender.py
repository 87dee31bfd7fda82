"""One e-mail to an SMTP server, within its time; never without TLS.

Connections are kept for the next e-mail. One that the server closed meanwhile is noticed before
the content is sent, and the e-mail goes out by a new one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple, cast

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.dialing import dial
from galaxy_notify.channels.guard import Guard
from galaxy_notify.channels.resolver import Resolver
from galaxy_notify.channels.smtp_failures import NotOffered, Step, broken, replied

#: Its server is chosen by the operator and by nobody else: mail servers stand inside, too.
_ANYWHERE: Final = Guard(("0.0.0.0/0", "::/0"))
_IMPLICIT_TLS: Final = 465
#: RFC 5321 lets a server wait for five minutes; many close earlier.
_KEPT_S: Final = 30.0
_MOST_KEPT: Final = 32
_QUIT_S: Final = 1.0
_CLOSING: Final = 421


class SmtpServer(NamedTuple):
    """Where e-mails are handed in. *password* is asked for at each connection; None: no AUTH."""

    host: str
    port: int
    username: str
    password: Callable[[], str | None]


class Envelope(NamedTuple):
    """An e-mail for the server: two addresses as SMTP carries them, and the message."""

    sender: str
    recipient: str
    content: bytes


class SmtpSender:
    """Hands e-mails to one server, in one event loop; `close` it at the end.

    *tls* is the context for TLS; without it the authorities that the machine trusts are trusted.
    """

    def __init__(
        self,
        server: SmtpServer,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._resolver = resolver or Resolver()
        self._tls = tls or ssl.create_default_context()
        self._idle: list[tuple[float, SMTP]] = []

    async def send(self, envelope: Envelope, deadline: float) -> Attempt:
        """Send, and return what became of it, at *deadline* (the loop's time) at last.

        Raises `OSError` only where this machine has no more sockets or memory.
        """
        talk = _Talk()
        try:
            async with asyncio.timeout_at(deadline):
                while kept := self._take():
                    attempt = await self._try_kept(kept, envelope, talk)
                    if attempt is not None:
                        return attempt
                talk.step = Step.GREETING
                return await self._transfer(await self._connect(talk), envelope, talk)
        except SMTPResponseException as error:
            return replied(talk.step, error.code, error.message)
        except (SMTPException, OSError, NotOffered) as error:
            return broken(talk.step, error)

    async def close(self) -> None:
        """Take leave of the server. Sends under way end by themselves."""
        kept, self._idle = self._idle, []
        await asyncio.gather(*(_leave(client) for _, client in kept))
        self._resolver.close()

    async def _try_kept(self, client: SMTP, envelope: Envelope, talk: _Talk) -> Attempt | None:
        """Send by a kept connection; None where the server had ended it: nothing was sent."""
        try:
            return await self._transfer(client, envelope, talk)
        except SMTPResponseException as error:
            if talk.step is Step.SENDER and error.code == _CLOSING:
                return None
            raise
        except (SMTPException, OSError) as error:
            if talk.step is Step.SENDER and not isinstance(error, TimeoutError):
                return None
            raise

    async def _connect(self, talk: _Talk) -> SMTP:
        """Return a connection with TLS, and with AUTH where there is a user."""
        host, port, username, password = self._server
        addresses = await self._resolver.addresses(host)
        client = SMTP(
            hostname=host,
            sock=await dial(_ANYWHERE, addresses, port),
            local_hostname=_own_name(),
            use_tls=port == _IMPLICIT_TLS,
            start_tls=False,
            tls_context=self._tls,
            timeout=None,
        )
        try:
            await client.connect()
            if port != _IMPLICIT_TLS:
                talk.step = Step.TLS
                await _check_offered(client, "starttls")
                await client.starttls()
            if username:
                talk.step = Step.IDENTITY
                await _check_offered(client, "auth")
                await client.login(username, password() or "")
        except BaseException:
            _drop(client)
            raise
        return client

    async def _transfer(self, client: SMTP, envelope: Envelope, talk: _Talk) -> Attempt:
        try:
            talk.step = Step.SENDER
            await client.mail(envelope.sender)
            talk.step = Step.RECIPIENT
            await client.rcpt(envelope.recipient)
            talk.step = Step.CONTENT
            reply = await client.data(envelope.content)
        except SMTPResponseException as error:
            await self._reset(client, error.code)
            raise
        except BaseException:
            _drop(client)
            raise
        self._keep(client)
        return Attempt("delivered", status=reply.code)

    async def _reset(self, client: SMTP, code: int) -> None:
        """Keep the connection behind a negative reply, if it is good for another e-mail.

        The reply is known: it waits for no more than a moment.
        """
        if code == _CLOSING or not client.is_connected:
            _drop(client)
            return
        try:
            async with asyncio.timeout(_QUIT_S):
                await client.rset()
        except (SMTPException, OSError):
            _drop(client)
        except BaseException:
            _drop(client)
            raise
        else:
            self._keep(client)

    def _take(self) -> SMTP | None:
        """Return a kept connection, the one used last; those kept for long are closed."""
        while self._idle:
            since, client = self._idle.pop()
            if client.is_connected and monotonic() - since < _KEPT_S:
                return client
            _drop(client)
        return None

    def _keep(self, client: SMTP) -> None:
        if client.is_connected and len(self._idle) < _MOST_KEPT:
            self._idle.append((monotonic(), client))
        else:
            _drop(client)


class _Talk:
    """How far the talk with the server has come."""

    step = Step.GREETING


def _drop(client: SMTP) -> None:
    """End a connection at once: TLS would wait for the other side to agree."""
    _abort(client.transport)
    client.close()


def _abort(transport: asyncio.BaseTransport | None) -> None:
    if transport is not None:
        cast("asyncio.Transport", transport).abort()


async def _check_offered(client: SMTP, extension: str) -> None:
    await client.ehlo()
    if not client.supports_extension(extension):
        raise NotOffered(f"the server does not offer {extension.upper()}")


async def _leave(client: SMTP) -> None:
    transport = client.transport
    with suppress(SMTPException, OSError):
        async with asyncio.timeout(_QUIT_S):
            await client.quit()
    _abort(transport)
    client.close()


def _own_name() -> str:
    """Return a name for EHLO; to look up the full one could take long."""
    name = socket.gethostname()
    return (
        name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
    )
