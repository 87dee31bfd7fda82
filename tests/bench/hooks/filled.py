"""A deployment with endpoints of users, and the settings of the daemon that sends to them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from galaxy_notify import Intent, Notifier
from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import settings_from
from galaxy_notify.webhooks.signature import message_id, new_secret
from tests.bench.hooks.bare import TEXT_BYTES
from tests.bench.texts import texts
from tests.support.contacts import key
from tests.support.receiver_process import Receiver

HOOKS = "hooks"
USERS = 1000
#: Addresses of one machine that stand for hosts.
HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 17))


class Deployed(NamedTuple):
    """A deployment by its URL, and where its webhooks go."""

    url: str
    receiver: Receiver

    @property
    def daemon(self) -> Mapping[str, str]:
        """The settings of its daemon, as ``SECTION__FIELD``."""
        return {
            "WORKER__CHANNELS": f"push,{HOOKS}",
            "CHANNELS__HOOKS__KIND": "webhook",
            "CHANNELS__HOOKS__ALLOW": "127.0.0.0/8",
            "CHANNELS__HOOKS__REQUIRE_HTTPS": "false",
            "CHANNELS__HOOKS__PORTS": str(self.receiver.port),
            "CONTACTS__KEYS": key(),
        }

    @property
    def endpoints(self) -> Sequence[str]:
        """The URL of an endpoint on each host."""
        return [self.receiver.url("/hook", host) for host in HOSTS]

    def found(self) -> None:
        """Found the deployment, and give each user an endpoint."""
        sections: dict[str, Any] = {
            "redis": {"url": self.url},
            "worker": {"channels": ["push", HOOKS]},
            "contacts": {"keys": [key()]},
            "channels": {
                HOOKS: {
                    "kind": "webhook",
                    "allow": ["127.0.0.0/8"],
                    "require_https": False,
                    "ports": [self.receiver.port],
                }
            },
        }
        settings = settings_from(sections)
        deployment, book = connect(settings, join=True), open_book(settings)
        data = {"secrets": [{"secret": new_secret()}]}
        urls = self.endpoints
        for number in range(USERS):
            wanted = [NewContact(HOOKS, urls[number % len(urls)], data=data)]
            flow = book.replace(deployment.key_space, f"user-{number}", wanted)
            run_flow_sync(deployment.client, flow)
        deployment.close()

    def fill(self, count: int) -> None:
        """Accept so many, each for one user."""
        with Notifier.from_url(self.url) as notifier:
            refused = [r for r in notifier.accept_many(_intents(count)) if r.status != "accepted"]
        if refused:
            raise RuntimeError(f"{len(refused)} of the load refused: {refused[0]}")

    def accept_slowly(self, count: int, pause_s: float) -> dict[str, float]:
        """Accept one after the other; return the id and the time (Unix) of each webhook."""
        found: dict[str, float] = {}
        with Notifier.from_url(self.url) as notifier:
            for intent in _intents(count):
                time.sleep(pause_s)
                now = time.time()
                receipt = notifier.accept(intent)
                event = f"{receipt.notification_id}/{HOOKS}:{intent.recipients[0]}"
                found[message_id(event)] = now
        return found


def _intents(count: int) -> Iterator[Intent]:
    bodies = texts(TEXT_BYTES)
    for number in range(count):
        yield Intent(
            type="bench.turn",
            producer="bench",
            recipients=[f"user-{number % USERS}"],
            channels=[HOOKS],
            title="Your turn",
            body=bodies[number % len(bodies)],
            data={"turn": number},
        )
