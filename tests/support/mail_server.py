"""An SMTP server for tests: aiosmtpd, which takes e-mails or answers as a test says."""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.tls import Pair
from tests.support.wait import HANG_S

logging.getLogger("mail.log").disabled = True
#: In place of a reply: the server answers nothing more, or ends the connection.
SILENT = "silent"
DROPPED = "dropped"


class ReceivedMail(NamedTuple):
    """An e-mail that was taken, and how it came."""

    sender: str
    recipient: str
    message: EmailMessage
    content: bytes
    is_encrypted: bool
    user: str

    def part(self, kind: str) -> str:
        """Return the text of the part of this type."""
        found = self.message.get_body((kind,))
        assert found is not None
        text: str = found.get_content()
        return text


class MailServer:
    """Takes e-mails on a port of its own.

    *replies* holds what is answered in place of the usual reply, by command (``MAIL``, ``RCPT``,
    ``DATA``); a list is used up. Users are known by *users*; without any there is no AUTH.
    """

    def __init__(self, pair: Pair | None, *, implicit: bool = False, **users: str) -> None:
        self.received: list[ReceivedMail] = []
        self.replies: dict[str, str | list[str]] = {}
        self.connections = 0
        self.users = users
        self._lock = Lock()
        self._context = None
        if pair is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(pair.cert, pair.key)
        self._implicit = implicit
        #: It stays when the server is stopped and started.
        self.port = 0
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event

    def start(self) -> None:
        """Listen."""
        begun = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._serve(begun)), daemon=True)
        self._thread.start()
        assert begun.wait(HANG_S)

    def stop(self) -> None:
        """End, with every connection."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(HANG_S)
            self._thread = None

    async def _serve(self, begun: Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        open_now: list[SMTP] = []

        def protocol() -> SMTP:
            self.connections += 1
            open_now.append(self._protocol())
            return open_now[-1]

        server = await self._loop.create_server(
            protocol, "127.0.0.1", self.port, ssl=self._context if self._implicit else None
        )
        self.port = server.sockets[0].getsockname()[1]
        begun.set()
        await self._ended.wait()
        server.close()
        for each in open_now:
            _abort(each)
        # Each is a task of its own that ends with its connection.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    def _protocol(self) -> SMTP:
        upgraded = None if self._implicit else self._context
        return SMTP(
            _Handler(self),
            hostname="mail.example.com",
            tls_context=upgraded,
            require_starttls=upgraded is not None,
            auth_required=bool(self.users),
            auth_require_tls=not self._implicit,
            authenticator=self._authenticated if self.users else None,
            timeout=HANG_S,
            loop=asyncio.get_running_loop(),
        )

    def reply(self, command: str) -> str:
        """Return what is answered to a command in place of the usual reply; empty: nothing."""
        with self._lock:
            found = self.replies.get(command, "")
            if isinstance(found, list):
                return found.pop(0) if found else ""
            return found

    def judge(self, envelope: Envelope) -> str:
        """Return what is answered to an e-mail that was read; empty: it is taken."""
        content = envelope.content
        assert isinstance(content, bytes)
        head = email.message_from_bytes(content.partition(b"\r\n\r\n")[0])
        return self.verdict(str(head["Message-ID"]))

    def verdict(self, message: str) -> str:
        """Return what is answered to the e-mail of this id; all are taken, unless overridden."""
        del message
        return ""

    def take(self, session: Session, envelope: Envelope) -> None:
        """Keep an e-mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        user = session.auth_data.login.decode() if session.auth_data else ""
        found = ReceivedMail(
            envelope.mail_from or "",
            envelope.rcpt_tos[0],
            message,
            content,
            session.ssl is not None or self._implicit,
            user,
        )
        with self._lock:
            self.received.append(found)

    def ids(self) -> list[str]:
        """Return the Message-ID of each e-mail, in order."""
        with self._lock:
            return [str(each.message["Message-ID"]) for each in self.received]

    def _authenticated(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        assert isinstance(data, LoginPassword)
        known = self.users.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=known, handled=False, auth_data=data)


class _Handler:
    """What aiosmtpd asks at each command."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, host: str, answers: list[str]
    ) -> list[str]:
        del envelope
        session.host_name = host
        if (reply := await self._scripted(server, "EHLO")) is not None:
            return [reply]
        return answers

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session
        if (reply := await self._scripted(server, "MAIL")) is not None:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        del session, options
        if (reply := await self._scripted(server, "RCPT")) is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_RSET(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        del session, envelope
        return await self._scripted(server, "RSET") or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if (reply := await self._scripted(server, "DATA")) is not None:
            return reply
        if (reply := await self._done(server, self._server.judge(envelope))) is not None:
            return reply
        self._server.take(session, envelope)
        # Taken, and its answer is lost: what at least once repeats.
        if (reply := await self._scripted(server, "TAKEN")) is not None:
            return reply
        return "250 2.0.0 taken"

    async def _scripted(self, server: SMTP, command: str) -> str | None:
        return await self._done(server, self._server.reply(command))

    async def _done(self, server: SMTP, reply: str) -> str | None:
        """Do as a reply says, and return what is to be answered; None: the usual reply."""
        if reply == SILENT:
            await asyncio.get_running_loop().create_future()
        if reply == DROPPED:
            _abort(server)
            await asyncio.get_running_loop().create_future()
        if reply.startswith("421"):
            # As a server that shuts down: it answers, and ends the connection.
            await server.push(reply)
            _abort(server)
            await asyncio.get_running_loop().create_future()
        return reply or None


def _abort(connection: SMTP) -> None:
    for each in (connection.transport, connection._original_transport):
        if isinstance(each, asyncio.Transport):
            each.abort()


@contextmanager
def mail_server(pair: Pair | None, **options: Any) -> Iterator[MailServer]:
    """Run a server with this certificate while the block runs; None: without TLS."""
    made = MailServer(pair, **options)
    made.start()
    try:
        yield made
    finally:
        made.stop()
