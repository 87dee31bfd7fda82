"""A daemon with a channel of kind ``webhook``, from the accept to what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time_ns
from typing import Any

import pytest

from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.attempts import (
    EndpointAttempt,
    RecordedAttempt,
    attempt_record,
    attempts_flow,
)
from galaxy_notify.webhooks import verify
from galaxy_notify.webhooks.signature import message_id
from tests.support.contacts import SECRETS, WEBHOOK_SECRET, key
from tests.support.daemons import daemon_on
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.receiver import Receiver, answer_of
from tests.support.servers import Server
from tests.support.wait import until

DAY_MS = 86_400_000


class Hooked:
    """A deployment whose user u1 has a webhook at a receiver."""

    def __init__(self, deployment: DeploymentFixture, port: int) -> None:
        self.deployment = deployment
        self.book = open_book(deployment.settings)
        new = NewContact("hooks", f"http://127.0.0.1:{port}/", "a", {"secrets": SECRETS})
        run_flow_sync(deployment.client, self.book.put(deployment.key_space, "u1", [new]))

    @property
    def contact(self) -> Contact:
        """The contact as it is now."""
        flow = self.book.all_of(self.deployment.key_space, "u1")
        (one,) = run_flow_sync(self.deployment.client, flow).contacts
        return one

    @property
    def status(self) -> str:
        """The status of the one route."""
        (route,) = self.deployment.routes().values()
        return str(route.status)

    def attempts(self) -> list[EndpointAttempt]:
        """Return the recorded attempts."""
        flow = attempts_flow(self.deployment.keys, "u1", "hooks/a")
        return run_flow_sync(self.deployment.client, flow)


Play = Callable[[Receiver, Callable[[Hooked], object], str], Hooked]


@pytest.fixture
def play(server: Server, deploy: Deploy) -> Play:
    """Notify u1 once, and run a daemon until the route has this status."""

    async def run(receiver: Receiver, prepare: Callable[[Hooked], object], status: str) -> Hooked:
        async with receiver.listening() as port:
            channels: dict[str, Any] = {
                "kind": "webhook",
                "allow": ["127.0.0.1"],
                "ports": [port],
                "require_https": False,
                "schedule_ms": [100] * 99,
                "max_attempts": 100,
            }
            worker, keys = {"channels": ["push", "hooks"]}, {"keys": [key()]}
            deployment = deploy(server, worker=worker, contacts=keys, channels={"hooks": channels})
            hooked = Hooked(deployment, port)
            prepare(hooked)
            deployment.notify("u1", channels=["hooks"])
            given: dict[str, Any] = {
                "worker__channels": worker["channels"],
                "contacts__keys": keys["keys"],
                **{f"channels.hooks__{name}": value for name, value in channels.items()},
            }
            with daemon_on(server, **given):
                await until(lambda: hooked.status == status, f"the route is {status}")
                # It is recorded beside the send.
                await until(lambda: len(hooked.attempts()) > 0, "the attempt is recorded")
            return hooked

    return lambda *given: asyncio.run(run(*given))


def test_webhook__is_sent_and_recorded(play: Play) -> None:
    """The receiver verifies it, and knows the id by that of the event."""
    receiver = Receiver(answer_of(200, body="thanks"))
    hooked = play(receiver, lambda _: None, "delivered")
    [(_, headers, body)] = receiver.requests
    (attempt,) = hooked.attempts()
    assert verify(WEBHOOK_SECRET, headers, body) == message_id(attempt.event_id)
    assert (attempt.outcome, attempt.status, attempt.response) == ("delivered", 200, "thanks")
    (name,) = hooked.deployment.routes()
    assert attempt.event_id == name


def test_webhook__that_is_gone_is_disabled(play: Play) -> None:
    """After 410 nothing more is sent there."""
    receiver = Receiver(answer_of(410))
    hooked = play(receiver, lambda _: None, "skipped")
    assert len(receiver.requests) == 1
    assert hooked.contact.is_disabled
    assert hooked.contact.disabled_reason == "gone"


def test_webhook__that_only_fails_is_disabled(play: Play) -> None:
    """It failed for five days, and fails again."""

    def fail_for_days(hooked: Hooked) -> None:
        now_ms = time_ns() // 1_000_000
        for days in range(6, 0, -1):
            old = EndpointAttempt(now_ms - days * DAY_MS, f"{days}/hooks", "t", 1, "transient")
            item = RecordedAttempt("u1", "hooks/a", old)
            run_sync(hooked.deployment.client, attempt_record(hooked.deployment.keys, [item]))

    hooked = play(Receiver(answer_of(500)), fail_for_days, "skipped")
    assert hooked.contact.is_disabled
    assert hooked.contact.disabled_reason == "failing"
