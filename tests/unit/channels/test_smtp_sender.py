"""E-mails handed to a real SMTP server: over TLS, by kept connections; what each reply means."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.channels import smtp_sender
from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.smtp_sender import Envelope, SmtpSender, SmtpServer
from tests.support.mail_server import DROPPED, SILENT, MailServer, mail_server
from tests.support.servers import free_port
from tests.support.tls import Authority, Pair
from tests.support.wait import HANG_S

CONTENT = b"Subject: hello\r\n\r\n.a line that begins with a point\r\n"
ENVELOPE = Envelope("notify@example.com", "ada@example.com", CONTENT)
Send = Callable[..., Awaitable[Attempt]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority."""
    return Authority(tmp_path_factory.mktemp("tls"), "mail")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Make the certificate of the server."""
    return authority.issue("server")


@pytest.fixture
def server(pair: Pair) -> Iterator[MailServer]:
    """Run a server with STARTTLS."""
    with mail_server(pair) as made:
        yield made


def trusting(cert: Path) -> ssl.SSLContext:
    """Return a context that trusts this authority."""
    return ssl.create_default_context(cafile=cert)


def sent(
    authority: Authority, port: int, times: int = 1, user: tuple[str, str] = ("", ""), **limit: Any
) -> list[Attempt]:
    """Send an e-mail some times, one after the other, and return what became of each."""

    async def scenario() -> list[Attempt]:
        name, password = user
        to = SmtpServer("127.0.0.1", port, name, lambda: password)
        sender = SmtpSender(to, tls=trusting(authority.cert))
        try:
            now = asyncio.get_running_loop().time
            left = limit.get("seconds", HANG_S)
            return [await sender.send(ENVELOPE, now() + left) for _ in range(times)]
        finally:
            await sender.close()

    return asyncio.run(scenario())


def test_send__is_encrypted_and_keeps_the_connection(
    authority: Authority, server: MailServer
) -> None:
    """Three e-mails need one connection; the content arrives to the byte."""
    attempts = sent(authority, server.port, times=3)
    assert [(one.outcome, one.status) for one in attempts] == [("delivered", 250)] * 3
    assert server.connections == 1
    for got in server.received:
        assert (got.sender, got.recipient) == ("notify@example.com", "ada@example.com")
        assert got.is_encrypted
        assert got.content == CONTENT


def test_send__never_without_tls(authority: Authority) -> None:
    """E8: a server without STARTTLS gets neither the content nor the addresses."""
    with mail_server(None) as plain:
        (attempt,) = sent(authority, plain.port)
    assert attempt == Attempt("transient", "tls", "the server does not offer STARTTLS")
    assert plain.received == []


def test_send__trusts_no_unknown_authority(authority: Authority, tmp_path: Path) -> None:
    """E8: a certificate that the machine does not trust ends the attempt, and names no host."""
    other = Authority(tmp_path, "other").issue("server")
    with mail_server(other) as server:
        (attempt,) = sent(authority, server.port)
        assert server.received == []
    assert (attempt.outcome, attempt.reason) == ("transient", "tls")
    assert "127.0.0.1" not in attempt.detail


def test_send__by_tls_from_the_start(
    authority: Authority, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port 465 speaks TLS at once."""
    with mail_server(pair, implicit=True) as server:
        monkeypatch.setattr(smtp_sender, "_IMPLICIT_TLS", server.port)
        (attempt,) = sent(authority, server.port)
        assert attempt.outcome == "delivered"
        assert [got.is_encrypted for got in server.received] == [True]


def test_send__with_a_user(authority: Authority, pair: Pair) -> None:
    """E8: AUTH is used; a wrong password costs the host no answer, and is not shown."""
    with mail_server(pair, ada="right") as server:
        (attempt,) = sent(authority, server.port, user=("ada", "right"))
        assert attempt.outcome == "delivered"
        assert server.received[0].user == "ada"
        (attempt,) = sent(authority, server.port, user=("ada", "wrong-one"))
        assert (attempt.outcome, attempt.reason, attempt.status) == ("transient", "auth", None)
        assert attempt.detail == "the user and password was answered with 535 5.7.8"
        (attempt,) = sent(authority, server.port)
        assert (attempt.outcome, attempt.reason, attempt.status) == ("transient", "auth", None)


def test_send__by_a_new_connection_where_the_kept_one_ended(
    authority: Authority, server: MailServer
) -> None:
    """E8: 421 at the next e-mail, or none at all: nothing was lost, and it is sent at once."""
    for reply in ("421 4.3.2 shutting down", DROPPED):
        server.replies["MAIL"] = ["", reply, ""]
        attempts = sent(authority, server.port, times=2)
        assert [one.outcome for one in attempts] == ["delivered", "delivered"]
    assert len(server.received) == 4
    assert server.connections == 4


@pytest.mark.parametrize(
    ("command", "reply", "outcome", "detail"),
    [
        ("MAIL", "450 4.7.1 slow down", "transient", "the sender was answered with 450 4.7.1"),
        ("MAIL", "550 no", "permanent", "the sender was answered with 550"),
        ("RCPT", "450 4.2.2 full", "transient", "the recipient was answered with 450 4.2.2"),
        ("RCPT", "550 5.1.1 who", "gone", "the recipient was answered with 550 5.1.1"),
        ("RCPT", "553 no", "gone", "the recipient was answered with 553"),
        ("RCPT", "550 5.7.1 relaying", "permanent", "the recipient was answered with 550 5.7.1"),
        ("DATA", "451 4.3.0 later", "transient", "the content was answered with 451 4.3.0"),
        ("DATA", "554 5.6.0 spam", "permanent", "the content was answered with 554 5.6.0"),
    ],
)
def test_reply__says_what_becomes_of_it(
    authority: Authority, server: MailServer, command: str, reply: str, outcome: str, detail: str
) -> None:
    """E8: the step at which it came counts; the next e-mail goes by the same connection."""
    server.replies[command] = [reply]
    first, second = sent(authority, server.port, times=2)
    assert (first.outcome, first.reason, first.detail) == (outcome, "smtp_status", detail)
    assert first.status == int(reply[:3])
    assert second.outcome == "delivered"
    assert server.connections == 1


@pytest.mark.parametrize("then", [SILENT, DROPPED, "500 what"])
def test_reply__counts_whatever_follows(
    authority: Authority, server: MailServer, then: str
) -> None:
    """A server that does not take up again afterwards gets a new connection."""
    server.replies = {"RCPT": ["550 5.1.1 who"], "RSET": [then]}
    first, second = sent(authority, server.port, times=2)
    assert (first.outcome, second.outcome) == ("gone", "delivered")
    assert server.connections == 2


def test_silence__is_known_by_its_step(authority: Authority, server: MailServer) -> None:
    """E8: only behind the content may the server have the e-mail."""
    reasons = {}
    for command in ("MAIL", "RCPT", "DATA", "TAKEN"):
        server.replies = {command: [SILENT]}
        (attempt,) = sent(authority, server.port, seconds=2.0)
        assert (attempt.outcome, attempt.status) == ("transient", None)
        reasons[command] = attempt.reason
    assert reasons == {"MAIL": "connect", "RCPT": "connect", "DATA": "timeout", "TAKEN": "timeout"}


def test_drop__is_known_by_its_step(authority: Authority, server: MailServer) -> None:
    """E8: the same for a connection that ends."""
    reasons = {}
    for command in ("MAIL", "RCPT", "DATA", "TAKEN"):
        server.replies = {command: [DROPPED]}
        (attempt,) = sent(authority, server.port)
        assert (attempt.outcome, attempt.status) == ("transient", None)
        reasons[command] = attempt.reason
    late = "disconnected"
    assert reasons == {"MAIL": "connect", "RCPT": "connect", "DATA": late, "TAKEN": late}


def test_send__to_a_port_where_nothing_listens(authority: Authority) -> None:
    """The attempt says so without the address."""
    (attempt,) = sent(authority, free_port())
    assert attempt[:3] == ("transient", "connect", "Connection refused")
