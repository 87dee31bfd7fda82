"""What a webhook is sent, what it is not, and what is recorded of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.channels.kind import Kind, Target
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.webhooks import verify
from galaxy_notify.webhooks.signature import message_id, new_secret
from tests.support.contacts import SECRETS, WEBHOOK_SECRET
from tests.support.receiver import answer_of
from tests.support.webhook_world import EVENT, NOTIFICATION, OK, WebhookWorld


def test_request__is_the_event_and_verifies(play: Callable[..., None]) -> None:
    """The JSON of a live event without its offset, signed, with the owner's headers."""

    async def scenario(world: WebhookWorld) -> None:
        kind: Kind = world.kind
        assert kind.has_contacts
        made = await world.send(world.contact(path="/a?b", headers={"X-Tenant": "7"}))
        assert made[:6] == ("delivered", "", "", 200, None, "thanks")
        [(line, headers, body)] = world.receiver.requests
        assert line == "POST /a?b HTTP/1.1"
        assert json.loads(body) == EVENT.document()
        assert "Grüße".encode() in body
        assert verify(WEBHOOK_SECRET, headers, body, tolerance_s=0) == message_id(EVENT.event_id)
        assert headers["webhook-timestamp"] == "1900000000"
        assert headers["X-Tenant"] == "7"

    play(scenario)


def test_attempts__have_one_id_and_signatures_of_their_own(play: Callable[..., None]) -> None:
    """A retry is signed again; while a secret is replaced, both verify, and later one does."""
    old, until_ms = new_secret(), 1_900_000_060_000

    async def scenario(world: WebhookWorld) -> None:
        secrets = [*SECRETS, {"secret": old, "until_ms": until_ms}]
        contact = world.contact(secrets=secrets)
        await world.send(contact)
        world.now_ms = until_ms
        await world.send(contact, attempt=2)
        first, then = ((headers, body) for _, headers, body in world.receiver.requests)
        assert first[1] == then[1]
        ids = {verify(secret, *first, tolerance_s=0) for secret in (WEBHOOK_SECRET, old)}
        assert {verify(WEBHOOK_SECRET, *then, tolerance_s=0)} == ids
        assert len(then[0]["webhook-signature"].split()) == 1

    play(scenario)


def test_targets__are_those_that_want_the_type(play: Callable[..., None]) -> None:
    """With the origin as the host, so that endpoints of a server share its limits."""

    async def scenario(world: WebhookWorld) -> None:
        wants = [["game.turn"], ["game.*"], [], ["chat"]]
        contacts = [world.contact(str(n), types=types) for n, types in enumerate(wants)]
        found = world.kind.targets(contacts, EVENT)
        host = f"http://127.0.0.1:{world.receiver.port}"
        assert found == [Target(contact, host) for contact in contacts[:3]]
        assert world.kind.targets(contacts[3:], EVENT) == []

    play(scenario)


@pytest.mark.parametrize(
    ("changed", "reason", "said"),
    [
        ({"secrets": []}, "unsigned", "without a valid secret nothing is sent"),
        ({"secrets": [{"secret": WEBHOOK_SECRET, "until_ms": 1}]}, "unsigned", "without a valid"),
        ({"secrets": [{"secret": "s3cr3t"}]}, "invalid", "data.secrets[0].secret: must be whsec_"),
        ({"types": "chat"}, "invalid", "data.types: must be a list"),
    ],
)
def test_unfit_contact__is_never_sent_to(
    play: Callable[..., None], changed: dict[str, Any], reason: str, said: str
) -> None:
    """Nothing goes out unsigned; the attempt says what is wrong, and is recorded."""

    async def scenario(world: WebhookWorld) -> None:
        contact = world.contact(**changed)
        assert world.kind.targets([contact], EVENT) == [Target(contact, "")]
        made = await world.send(contact)
        assert made[:2] == ("permanent", reason)
        assert said in made.detail
        assert "s3cr3t" not in made.detail
        assert world.receiver.connections == 0
        (recorded,) = await world.attempts()
        assert (recorded.outcome, recorded.reason) == ("permanent", reason)
        assert recorded.detail == made.detail

    play(scenario)


def test_forbidden_address__is_blocked(play: Callable[..., None]) -> None:
    """By its URL already: no host's limits are touched, and no connection is opened."""

    async def scenario(world: WebhookWorld) -> None:
        url = f"http://10.0.0.1:{world.receiver.port}/"
        contact = Contact("a", "hooks", "webhook", url, {"secrets": SECRETS}, 1)
        made = await world.send(contact)
        assert made[:3] == ("permanent", "blocked", "the address is not allowed")

    play(scenario)


def test_attempts__are_recorded(play: Callable[..., None]) -> None:
    """With the response, newest first."""

    async def scenario(world: WebhookWorld) -> None:
        contact = world.contact()
        await world.send(contact)
        world.now_ms += 1
        await world.send(contact, attempt=2)
        then, first = await world.attempts()
        assert first.at_ms == 1_900_000_000_000
        assert (first.event_id, first.notification_id) == (EVENT.event_id, NOTIFICATION)
        assert (first.type, first.attempt, first.outcome) == ("game.turn", 1, "transient")
        assert (first.reason, first.status, first.response) == ("http_status", 500, "no")
        assert (then.attempt, then.outcome, then.status) == (2, "delivered", 200)
        assert first.took_ms >= 0
        assert first.as_json()["notification_id"] == NOTIFICATION

    play(scenario, answer_of(500, body="no"), OK)


def test_outage__of_redis_changes_no_outcome(play: Callable[..., None]) -> None:
    """A key of another type stands for any refusal: it is logged, and the send is what it was."""

    async def scenario(world: WebhookWorld) -> None:
        name = world.deployment.keys.attempts("u1", "hooks/a")
        world.deployment.client.set(name, "foreign")
        assert (await world.send(world.contact())).outcome == "delivered"
        assert await world.attempts() == []
        assert world.deployment.client.get(name) == b"foreign"
        world.deployment.client.delete(name)

    play(scenario)
