"""How often endpoints are called, and how the route ends, by what they answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.flows import run_flow_sync
from tests.support.contacts import SECRETS, WEBHOOK_SECRET, key
from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.servers import Server
from tests.support.wait import wait_until
from tests.support.webhook_owner import WebhookOwner, webhook_owner

ATTEMPTS = 3


class Owned:
    """A deployment whose user u1 has an endpoint at each of some owners."""

    def __init__(self, deployment: DeploymentFixture, owners: Sequence[WebhookOwner]) -> None:
        self.deployment = deployment
        self.owners = owners

    def notify(self) -> str:
        """Notify u1 and return the member of the route."""
        return f"{self.deployment.notify('u1', channels=['hooks'])}/hooks:u1"

    def ended(self, member: str, status: str) -> Route:
        """Wait until the route has this status and return it."""
        wait_until(lambda: str(self.deployment.route(member).status) == status, f"it is {status}")
        return self.deployment.route(member)

    def ids(self) -> list[list[str]]:
        """Return the ids of what came to each owner; all of it was signed."""
        return [[got.verified(WEBHOOK_SECRET) for got in one.received] for one in self.owners]


@contextmanager
def _owned(
    server: Server, deploy: Deploy, *statuses: int, types: Sequence[str] = ()
) -> Iterator[Owned]:
    """Have owners that answer so, and a daemon that sends to them."""
    with ExitStack() as stack:
        owners = [stack.enter_context(webhook_owner()) for _ in statuses]
        for owner, status in zip(owners, statuses, strict=True):
            owner.status = status
        channel: dict[str, Any] = {
            "kind": "webhook",
            "allow": ["127.0.0.1"],
            "ports": [owner.port for owner in owners],
            "require_https": False,
            "schedule_ms": [100] * 9,
            "max_attempts": ATTEMPTS,
        }
        worker, keys = {"channels": ["push", "hooks"]}, {"keys": [key()]}
        deployment = deploy(server, worker=worker, contacts=keys, channels={"hooks": channel})
        book, data = open_book(deployment.settings), {"secrets": SECRETS, "types": list(types)}
        new = [NewContact("hooks", owner.url, data=data) for owner in owners]
        run_flow_sync(deployment.client, book.put(deployment.key_space, "u1", new))
        given: dict[str, Any] = {
            "worker__channels": worker["channels"],
            "contacts__keys": keys["keys"],
            **{f"channels.hooks__{name}": value for name, value in channel.items()},
        }
        stack.enter_context(daemon_on(server, **given))
        yield Owned(deployment, owners)


def test_webhook__comes_once(server: Server, deploy: Deploy) -> None:
    """Where the first answer is 2xx."""
    with _owned(server, deploy, 204) as one:
        route = one.ended(one.notify(), "delivered")
    assert route.attempts == 0
    assert [len(ids) for ids in one.ids()] == [1]


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_webhook__is_tried_so_often(server: Server, deploy: Deploy, status: int) -> None:
    """Whatever else it answers: an endpoint may be mended. The dead letter says the last one."""
    with _owned(server, deploy, status) as one:
        route = one.ended(one.notify(), "dead_letter")
    assert route.failure is not None
    assert route.failure.failure_class == "delivery_failed"
    assert route.failure.message == f"it answered {status}"
    assert route.attempts == ATTEMPTS
    ((first, *again),) = one.ids()
    assert again == [first] * (ATTEMPTS - 1)


def test_webhook__of_another_type_is_not_sent(server: Server, deploy: Deploy) -> None:
    """That is no failure."""
    with _owned(server, deploy, 200, types=["billing.*"]) as one:
        route = one.ended(one.notify(), "skipped")
    assert route.history[-1].failure_class == "unsubscribed"
    assert one.ids() == [[]]


def test_webhook__of_two_endpoints_one_fails(server: Server, deploy: Deploy) -> None:
    """Both are called; only the one that failed again, also by a replay."""
    with _owned(server, deploy, 200, 500) as one:
        member = one.notify()
        route = one.ended(member, "dead_letter")
        assert [len(ids) for ids in one.ids()] == [1, ATTEMPTS]
        assert len(route.done) == 1
        one.owners[1].status = 200
        one.deployment.replay(member)
        one.ended(member, "delivered")
    well, mended = one.ids()
    assert len(well) == 1
    assert len(mended) == ATTEMPTS + 1
    assert mended[0] == well[0] != mended[-1]
