"""Row E8 through a daemon: how routes and contacts end by what the SMTP server does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest

from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.flows import run_flow_sync
from tests.support.contacts import key
from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.mail_server import DROPPED, MailServer
from tests.support.servers import Server
from tests.support.tls import Authority, Pair
from tests.support.wait import wait_until

ADDRESS = "ada@example.org"
PASSWORD = "password-of-the-server"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make an authority."""
    return Authority(tmp_path_factory.mktemp("tls"), "mail")


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    """Make the certificate of the server."""
    return authority.issue("server")


class World:
    """A deployment, a daemon and a mail server; user u1 has an address."""

    def __init__(
        self, server: Server, deploy: Deploy, mail: MailServer, authority: Authority, **given: Any
    ) -> None:
        self.mail = mail
        section: dict[str, Any] = {
            "kind": "email",
            "host": "127.0.0.1",
            "port": mail.port,
            "sender": "Example <notify@example.com>",
            "username": "notify",
            "password": PASSWORD,
            "schedule_ms": [100] * 9,
            **given,
        }
        worker, keys = {"channels": ["push", "mail"]}, {"keys": [key()]}
        self.deployment: DeploymentFixture = deploy(
            server, worker=worker, contacts=keys, channels={"mail": section}
        )
        self._book = open_book(self.deployment.settings)
        flow = self._book.put(self.deployment.key_space, "u1", [NewContact("mail", ADDRESS)])
        run_flow_sync(self.deployment.client, flow)
        settings = {
            "worker__channels": worker["channels"],
            "contacts__keys": keys["keys"],
            **{f"channels.mail__{name}": value for name, value in section.items()},
        }
        trusted = {"SSL_CERT_FILE": str(authority.cert)}
        self._running = daemon_on(server, variables=trusted, **settings)

    def __enter__(self) -> World:
        self.daemon: DaemonProcess = self._running.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            log = self.daemon.log.read_text()
            assert PASSWORD not in log
            assert ADDRESS not in log
        finally:
            self._running.__exit__(*error)

    def notify(self, **fields: Any) -> str:
        """Notify u1 and return the member of the route."""
        return f"{self.deployment.notify('u1', channels=['mail'], **fields)}/mail:u1"

    def ended(self, member: str, status: Status = Status.DELIVERED) -> Route:
        """Wait until the route has this status and return it."""
        wait_until(lambda: self.deployment.route(member).status is status, f"it is {status}")
        return self.deployment.route(member)

    @property
    def contact(self) -> Contact:
        """The contact of u1."""
        flow = self._book.all_of(self.deployment.key_space, "u1")
        (found,) = run_flow_sync(self.deployment.client, flow).contacts
        return found


@pytest.fixture
def world(server: Server, deploy: Deploy, pair: Pair, authority: Authority) -> Iterator[World]:
    """Run a daemon and a mail server with STARTTLS and a user."""
    with ExitStack() as stack:
        mail = MailServer(pair, notify=PASSWORD)
        mail.start()
        stack.callback(mail.stop)
        yield stack.enter_context(World(server, deploy, mail, authority))


def _headers(mail: MailServer) -> Mapping[str, str]:
    (got,) = mail.received
    return dict(got.message.items())


def test_mail__arrives_once(world: World) -> None:
    """By TLS and with the user, the title as its subject, in text and HTML."""
    member = world.notify(title="It is your turn", body="Ada has moved.")
    assert world.ended(member).attempts == 0
    (got,) = world.mail.received
    assert got.is_encrypted
    assert (got.user, got.sender, got.recipient) == ("notify", "notify@example.com", ADDRESS)
    headers = _headers(world.mail)
    assert headers["Subject"] == "It is your turn"
    assert headers["From"] == "Example <notify@example.com>"
    assert headers["To"] == ADDRESS
    for kind in ("plain", "html"):
        assert "Ada has moved." in got.part(kind)


def test_title__begins_no_header(world: World) -> None:
    """A line end in it is a space."""
    member = world.notify(title="a\r\nBcc: x@example.net\r\n\r\nbody")
    world.ended(member)
    headers = _headers(world.mail)
    assert "Bcc" not in headers
    assert headers["Subject"] == "a Bcc: x@example.net body"
    assert world.mail.received[0].recipient == ADDRESS


def test_mailbox__that_does_not_exist_is_disabled(world: World) -> None:
    """550 at the recipient: the next notification is not sent at all."""
    world.mail.replies["RCPT"] = ["550 5.1.1 no such user"]
    route = world.ended(world.notify(), Status.SKIPPED)
    assert route.history[-1].failure_class == "endpoint_disabled"
    assert world.contact.disabled_reason == "gone"
    again = world.ended(world.notify(), Status.SKIPPED)
    assert again.history[-1].failure_class == "endpoint_disabled"
    assert world.mail.received == []


def test_mailbox__that_is_full_is_tried_again(world: World) -> None:
    """450 is a retry; the contact stays."""
    world.mail.replies["RCPT"] = ["450 4.2.2 full", "450 4.2.2 full"]
    assert world.ended(world.notify()).attempts == 2
    assert not world.contact.is_disabled
    assert len(world.mail.received) == 1


def test_content__that_is_refused_is_a_dead_letter(world: World) -> None:
    """550 at the content says nothing of the mailbox."""
    world.mail.replies["DATA"] = ["554 5.6.0 spam"]
    route = world.ended(world.notify(), Status.DEAD_LETTER)
    assert route.failure is not None
    assert route.failure.failure_class == "delivery_refused"
    assert route.failure.message == "the content was answered with 554 5.6.0"
    assert not world.contact.is_disabled


def test_mail__whose_answer_was_lost_has_the_same_id(world: World) -> None:
    """The server took it and the connection ended: it is sent again, and can be told apart."""
    world.mail.replies["TAKEN"] = [DROPPED]
    assert world.ended(world.notify()).attempts == 1
    first, second = world.mail.ids()
    assert first == second


def test_server__that_comes_back_gets_the_mail(world: World) -> None:
    """A kept connection that ended, and a server that was away for a while, lose nothing."""
    world.ended(world.notify())
    world.mail.stop()
    member = world.notify()
    wait_until(lambda: world.daemon.lines("delivery failed"), "an attempt failed")
    world.mail.start()
    world.ended(member)
    assert len(set(world.mail.ids())) == 2


def test_server__without_tls_gets_nothing(
    server: Server, deploy: Deploy, authority: Authority
) -> None:
    """The host rests; the route waits, and spends no further attempts meanwhile."""
    mail = MailServer(None)
    mail.start()
    try:
        with World(server, deploy, mail, authority) as world:
            member = world.notify()

            def has_rested() -> bool:
                return world.deployment.route(member).attempts >= 5

            wait_until(has_rested, "it was tried until the host rested")
            (line, *_) = world.daemon.lines("delivery failed")
            assert line["reason"] == "tls"
            assert line["detail"] == "the server does not offer STARTTLS"
            assert mail.received == []
            assert world.deployment.route(member).status is Status.FAILED
            assert not world.contact.is_disabled
    finally:
        mail.stop()
