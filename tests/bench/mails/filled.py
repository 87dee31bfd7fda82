"""A deployment whose users have addresses, and the settings of the daemon that sends to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from galaxy_notify import Intent, Notifier
from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import settings_from
from tests.bench.hooks.bare import TEXT_BYTES
from tests.bench.mails.sink import Sink
from tests.bench.texts import texts
from tests.support.contacts import key

MAIL = "mail"
USERS = 1000


class Mailed(NamedTuple):
    """A deployment by its URL, and where its e-mails go."""

    url: str
    sink: Sink

    @property
    def daemon(self) -> Mapping[str, str]:
        """The settings of its daemon, as ``SECTION__FIELD``."""
        fields = {f"CHANNELS__MAIL__{name.upper()}": str(each) for name, each in self._channel}
        return {"WORKER__CHANNELS": f"push,{MAIL}", "CONTACTS__KEYS": key(), **fields}

    @property
    def _channel(self) -> list[tuple[str, Any]]:
        sender = "Bench <bench@example.com>"
        return [
            *(("kind", "email"), ("host", "127.0.0.1")),
            *(("port", self.sink.port), ("sender", sender)),
        ]

    def found(self) -> None:
        """Found the deployment, and give each user an address."""
        sections: dict[str, Any] = {
            "redis": {"url": self.url},
            "worker": {"channels": ["push", MAIL]},
            "contacts": {"keys": [key()]},
            "channels": {MAIL: dict(self._channel)},
        }
        settings = settings_from(sections)
        deployment, book = connect(settings, join=True), open_book(settings)
        for number in range(USERS):
            user = f"user-{number}"
            wanted = [NewContact(MAIL, f"{user}@example.org")]
            run_flow_sync(deployment.client, book.replace(deployment.key_space, user, wanted))
        deployment.close()

    def fill(self, count: int) -> None:
        """Accept so many, each for one user."""
        bodies = texts(TEXT_BYTES)
        intents = (
            Intent(
                type="bench.turn",
                producer="bench",
                recipients=[f"user-{number % USERS}"],
                channels=[MAIL],
                title="Your turn",
                body=bodies[number % len(bodies)],
                data={"turn": number},
            )
            for number in range(count)
        )
        with Notifier.from_url(self.url) as notifier:
            refused = [r for r in notifier.accept_many(intents) if r.status != "accepted"]
        if refused:
            raise RuntimeError(f"{len(refused)} of the load refused: {refused[0]}")
