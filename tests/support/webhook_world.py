"""A kind for webhooks on a real Redis, and the receiver to which it sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.webhook_kind import WebhookKind
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.attempts import EndpointAttempt, attempts_flow
from galaxy_notify.settings.channel_kinds import WebhookChannel
from tests.support.contacts import SECRETS
from tests.support.deployment import DeploymentFixture
from tests.support.receiver import Receiver, answer_of

_FAR_S = 600.0
NOTIFICATION = "0a" * 16
EVENT = LiveEvent(
    f"{NOTIFICATION}.2/hooks:u1", "game.turn", "info", "Grüße", "", {"turn": 1.5}, 1_900_000_000_000
)
OK = answer_of(200, body="thanks")


class WebhookWorld:
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


async def play_webhooks(
    deployment: DeploymentFixture,
    receiver: Receiver,
    scenario: Callable[[WebhookWorld], Awaitable[None]],
) -> None:
    """Run a scenario with a kind that may send to a receiver, and to nothing else."""
    async with receiver.listening() as port, _client(deployment) as client:
        settings = WebhookChannel(allow=("127.0.0.1",), ports=(port,), require_https=False)
        world: WebhookWorld

        def now_ms() -> int:
            return world.now_ms

        kind = WebhookKind("hooks", settings, client, deployment.key_space, now_ms=now_ms)
        world = WebhookWorld(kind, receiver, deployment)
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
