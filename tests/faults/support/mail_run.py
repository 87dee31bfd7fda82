"""One deployment for a fault test of e-mails: server, daemons, mail server, verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import redis

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.mail.message import message_id as mail_id
from galaxy_notify.model.ids import event_id
from galaxy_notify.model.route import Route, Status
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.webhooks.signature import message_id
from tests.faults.support.fault_run import FaultRun, assert_readable
from tests.faults.support.load import Shape
from tests.faults.support.send_run import Sent, judged
from tests.support.contacts import key
from tests.support.daemons import DaemonProcess
from tests.support.mail_server import DROPPED, MailServer
from tests.support.receiver_process import Request
from tests.support.servers import Server
from tests.support.tls import Authority

MAIL: Final = "mail"
_DOMAIN: Final = "example.com"
_CONTACT: Final = "a"
_PASSWORD: Final = "smtp-password-of-tests"
_CHANNEL: Final[Mapping[str, Any]] = {
    "kind": "email",
    "host": "127.0.0.1",
    "username": "notify",
    "password": _PASSWORD,
    "sender": f"Example <notify@{_DOMAIN}>",
    # A busy machine must not be what ends an attempt.
    "timeout_ms": 8000,
    "lease_ttl_ms": 16_000,
    "schedule_ms": [100] * 99,
    "concurrency": 8,
}
_TAKEN, _REFUSED, _UNKNOWN = 250, 451, 0


class FailingMailServer(MailServer):
    """Refuses some e-mails, or ends the connection once it has read them; notes what it did."""

    def __init__(self, authority: Authority, rng: Random) -> None:
        super().__init__(authority.issue("mail"), notify=_PASSWORD)
        self.fail = 0.0
        self.answers: list[tuple[str, int]] = []
        self._rng = rng

    def verdict(self, message: str) -> str:
        """Draw what is answered to an e-mail, and note it; empty: it is taken."""
        if self._rng.random() >= self.fail:
            self.answers.append((message, _TAKEN))
            return ""
        if self._rng.random() < 0.25:
            # It may be taken or not: the sender cannot know.
            self.answers.append((message, _UNKNOWN))
            return DROPPED
        self.answers.append((message, _REFUSED))
        return "451 4.3.0 later"


class MailRun(FaultRun):
    """A deployment that sends e-mails, each user at one address."""

    def __init__(
        self, server: Server, rng: Random, stack: ExitStack, folder: Path, **channel: Any
    ) -> None:
        """Found it; the certificate of its mail server is in *folder*."""
        authority = Authority(folder, "mail")
        self.mail_server = FailingMailServer(authority, Random(rng.random()))
        self.mail_server.start()
        stack.callback(self.mail_server.stop)
        self.users: list[str] = []
        section = {**_CHANNEL, "port": self.mail_server.port, **channel}
        shared = {
            "worker__channels": ["push", MAIL],
            "contacts__keys": [key()],
            "retry__max_attempts": 100,
        }
        sections = {"channels": {MAIL: section}}
        super().__init__(server, rng, stack, road="script", sections=sections, **shared)
        self._settings |= {f"channels.{MAIL}__{name}": value for name, value in section.items()}
        self._trusted = {"SSL_CERT_FILE": str(authority.cert)}

    def daemon(self, failpoints: str = "", url: str = "", **given: Any) -> DaemonProcess:
        """Start a daemon that trusts the mail server."""
        return super().daemon(failpoints, url, variables=self._trusted, **given)

    def people(self, number: int) -> None:
        """Make so many users, each with an address."""
        self.users = [f"u{n}" for n in range(number)]
        book, deployment = open_book(self.deployment.settings), self.deployment
        for user in self.users:
            wanted = [NewContact(MAIL, f"{user}@example.org", _CONTACT)]
            run_flow_sync(deployment.client, book.replace(deployment.key_space, user, wanted))

    def shape(self, **given: Any) -> Shape:
        """Return the shape of a load for these users."""
        return Shape(users=tuple(self.users), channels=(MAIL,), **given)

    def begin_failing(self, share: float) -> None:
        """Fail this share of all e-mails from now on."""
        self.mail_server.fail = share

    def came(self) -> int:
        """Return how many e-mails were read by the server, whatever it answered."""
        return len(self.mail_server.answers)

    @property
    def is_over(self) -> bool:
        """Tell whether nothing waits or is leased, as far as the server answers."""
        try:
            return not self.deployment.scheduled(MAIL)
        except redis.RedisError:
            return False

    def sent(self, *, at_most_once: bool = False) -> Sent:
        """Compare what was promised, what Redis has, and what came."""
        promised = {
            member: promise.is_accepted
            for promise in self.journal.promises.values()
            for member in promise.members
        }
        routes = self.deployment.routes()
        promised |= dict.fromkeys(routes.keys() - promised.keys(), True)
        found = judged(promised, routes, self._by_id(routes), (MAIL,) if at_most_once else ())
        self.deployment.assert_conserved(self.deployment.key_space.shared.channels)
        self.figures.append(str(found))
        return found

    def assert_sent(self, *, at_most_once: bool = False, but: Collection[Status] = ()) -> Sent:
        """Assert that all was delivered, but for what may end as *but*, and nothing is lost.

        At most once, nothing came again after it may have been taken. No log has a secret or an
        address.
        """
        found = self.sent(at_most_once=at_most_once)
        assert not found.violations, (str(found), found.violations[:10])
        assert found.statuses.keys() <= {str(Status.DELIVERED), *map(str, but)}, str(found)
        for daemon in self.daemons:
            assert_readable(daemon)
            log = daemon.log.read_text()
            assert _PASSWORD not in log
            assert "example.org" not in log
        return found

    def _by_id(self, routes: Mapping[str, Route]) -> dict[str, list[Request]]:
        """Return what came by the ids that `judged` knows; by its own what belongs to no route."""
        names = {}
        for member, route in routes.items():
            event = event_id(member, route.generation)
            names[mail_id(f"{event} {_CONTACT}", _DOMAIN)] = message_id(event)
        found: dict[str, list[Request]] = {}
        for message, status in self.mail_server.answers:
            name = names.get(message, message)
            found.setdefault(name, []).append(Request("", name, 0.0, status))
        return found
