"""What a webhook is sent, what it is not, and what is recorded of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.kind import Kind, Target
from galaxy_notify.channels.webhook_kind import WebhookKind
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.attempts import (
    EndpointAttempt,
    RecordedAttempt,
    attempt_record,
    attempts_flow,
)
from galaxy_notify.settings.channels import WebhookChannel
from galaxy_notify.webhooks import verify
from galaxy_notify.webhooks.signature import message_id, new_secret
from tests.support.contacts import SECRETS, WEBHOOK_SECRET
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.receiver import Receiver, answer_of
from tests.support.servers import Server
from tests.support.wait import until

_FAR_S = 600.0
DAY_MS = 86_400_000
NOTIFICATION = "0a" * 16
EVENT = LiveEvent(
    f"{NOTIFICATION}.2/hooks:u1", "game.turn", "info", "Grüße", "", {"turn": 1.5}, 1_900_000_000_000
)
OK = answer_of(200, body="thanks")


class World:
    """A kind, and the receiver to which it sends."""

    def __init__(
        self, kind: WebhookKind, receiver: Receiver, deployment: DeploymentFixture
    ) -> None:
        self.kind = kind
        self.receiver = receiver
        self.deployment = deployment
        self.now_ms = 1_900_000_000_000

    def contact(self, name: str = "a", path: str = "/", **data: Any) -> Contact:
        """Return a contact at the receiver."""
        url = f"http://127.0.0.1:{self.receiver.port}{path}"
        return Contact(name, "hooks", "webhook", url, {"secrets": SECRETS, **data}, 1)

    async def send(self, contact: Contact, event: LiveEvent = EVENT, attempt: int = 1) -> Attempt:
        """Send an event to a contact that wants it."""
        (target,) = self.kind.targets([contact], event)
        delivery = Delivery("hooks", "u1", event, contact, "lobby", attempt)
        return await self.kind.send(delivery, target, asyncio.get_running_loop().time() + _FAR_S)

    async def attempts(self, name: str = "a", limit: int = 50) -> list[EndpointAttempt]:
        """Return what is recorded, once all of it is; nothing can be sent after that."""
        await self.kind.close()
        flow = attempts_flow(self.deployment.keys, "u1", f"hooks/{name}", limit)
        return run_flow_sync(self.deployment.client, flow)


@pytest.fixture
def play(deploy: Deploy, server: Server) -> Callable[..., None]:
    """Run a scenario with a kind and a receiver that gives these answers."""
    deployment = deploy(server)

    def run(scenario: Callable[[World], Awaitable[None]], *answers: bytes) -> None:
        asyncio.run(_played(deployment, Receiver(*(answers or (OK,))), scenario))

    return run


async def _played(
    deployment: DeploymentFixture, receiver: Receiver, scenario: Callable[[World], Awaitable[None]]
) -> None:
    async with receiver.listening() as port, _client(deployment) as client:
        settings = WebhookChannel(allow=("127.0.0.1",), ports=(port,), require_https=False)
        world: World

        def now_ms() -> int:
            return world.now_ms

        kind = WebhookKind("hooks", settings, client, deployment.key_space, now_ms=now_ms)
        world = World(kind, receiver, deployment)
        try:
            await scenario(world)
        finally:
            await kind.close()


@asynccontextmanager
async def _client(deployment: DeploymentFixture) -> AsyncIterator[Any]:
    client = open_async(deployment.settings, connections=2, name="x")
    try:
        yield client
    finally:
        await client.aclose()


def test_request__is_the_event_and_verifies(play: Callable[..., None]) -> None:
    """The JSON of a live event without its offset, signed, with the owner's headers."""

    async def scenario(world: World) -> None:
        kind: Kind = world.kind
        assert kind.has_contacts
        made = await world.send(world.contact(path="/a?b", headers={"X-Tenant": "7"}))
        assert made == ("delivered", "", "", 200, None, "thanks")
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

    async def scenario(world: World) -> None:
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

    async def scenario(world: World) -> None:
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

    async def scenario(world: World) -> None:
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

    async def scenario(world: World) -> None:
        url = f"http://10.0.0.1:{world.receiver.port}/"
        contact = Contact("a", "hooks", "webhook", url, {"secrets": SECRETS}, 1)
        made = await world.send(contact)
        assert made[:3] == ("permanent", "blocked", "the address is not allowed")

    play(scenario)


def test_attempts__are_recorded(play: Callable[..., None]) -> None:
    """With the response, newest first."""

    async def scenario(world: World) -> None:
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


def test_endpoint__that_fails_for_five_days_is_gone(play: Callable[..., None]) -> None:
    """Where it is enabled again, what was before does not count."""

    async def scenario(world: World) -> None:
        _fails(world, days=5)
        made = await _until_gone(world, world.contact())
        assert (made.reason, made.status) == ("http_status", 500)
        assert made.detail == "nothing but failures for 5 days; the last one: it answered 500"
        enabled = world.contact(enabled_at_ms=world.now_ms)
        assert (await world.send(enabled)).outcome == "transient"
        outcomes = {one.outcome for one in (await world.attempts())[:2]}
        assert outcomes == {"gone", "transient"}

    play(scenario, answer_of(500))


def test_endpoint__that_another_process_reached_is_not_gone(play: Callable[..., None]) -> None:
    """What this process remembers is asked again before an endpoint is given up."""

    async def scenario(world: World) -> None:
        _fails(world, days=5)
        await _until_gone(world, world.contact())
        _record(world, EndpointAttempt(world.now_ms, "n/hooks:u1", "chat", 1, "delivered"))
        assert (await world.send(world.contact())).outcome == "transient"

    play(scenario, answer_of(500))


def test_endpoint__that_fails_for_less_is_kept(play: Callable[..., None]) -> None:
    """One ms less than five days."""

    async def scenario(world: World) -> None:
        _fails(world, days=5)
        world.now_ms -= 1
        for attempt in range(3):
            assert (await world.send(world.contact(), attempt=attempt)).outcome == "transient"
            await _until_recorded(world, attempt)

    play(scenario, answer_of(500))


def test_outage__of_redis_changes_no_outcome(play: Callable[..., None]) -> None:
    """A key of another type stands for any refusal: it is logged, and the send is what it was."""

    async def scenario(world: World) -> None:
        name = world.deployment.keys.attempts("u1", "hooks/a")
        world.deployment.client.set(name, "foreign")
        assert (await world.send(world.contact())).outcome == "delivered"
        assert await world.attempts() == []
        assert world.deployment.client.get(name) == b"foreign"
        world.deployment.client.delete(name)

    play(scenario)


async def _until_gone(world: World, contact: Contact) -> Attempt:
    """Send until this process has noticed, by what it recorded, that the endpoint only fails."""
    made: list[Attempt] = []

    async def is_gone() -> bool:
        made.append(await world.send(contact, attempt=len(made) + 1))
        return made[-1].outcome == "gone"

    await until(is_gone, "the endpoint is given up")
    return made[-1]


async def _until_recorded(world: World, attempt: int) -> None:
    def is_there() -> bool:
        flow = attempts_flow(world.deployment.keys, "u1", "hooks/a", 1)
        (last,) = run_flow_sync(world.deployment.client, flow)
        return last.event_id == EVENT.event_id and last.attempt == attempt

    await until(is_there, "the attempt is recorded")


def _fails(world: World, days: int) -> None:
    """Record a failure on each of so many days, and go on to the end of the last one."""
    for day in range(days):
        at_ms = world.now_ms + day * DAY_MS
        _record(world, EndpointAttempt(at_ms, f"{day}/hooks:u1", "chat", 1, "transient"))
    world.now_ms += days * DAY_MS


def _record(world: World, attempt: EndpointAttempt) -> None:
    call = attempt_record(world.deployment.keys, [RecordedAttempt("u1", "hooks/a", attempt)])
    run_sync(world.deployment.client, call)
