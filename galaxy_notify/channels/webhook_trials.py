"""What is tried with an endpoint when it is asked for: whether it is allowed, and a test event."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.guard import Blocked, Guard
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.resolver import Resolver
from galaxy_notify.channels.trial import PRODUCER, trial_event
from galaxy_notify.channels.webhook_endpoint import WebhookEndpoint
from galaxy_notify.channels.webhook_kind import WebhookKind
from galaxy_notify.channels.webhook_sender import WebhookSender
from galaxy_notify.errors import InvalidEndpoint
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.settings.channel_kinds import WebhookChannel
from galaxy_notify.webhooks.signature import message_id

#: The type of a test event.
TEST_TYPE: Final = "galaxy-notify.test"


class Trial(NamedTuple):
    """A test event, and what became of it."""

    endpoint: WebhookEndpoint
    event: LiveEvent
    attempt: Attempt
    took_ms: int

    @property
    def is_delivered(self) -> bool:
        """Return whether the endpoint answered with 2xx."""
        return self.attempt.outcome == "delivered"

    def document(self) -> dict[str, Any]:
        """Return what the command line and the HTTP API show."""
        attempt = self.attempt
        return {
            "id": self.endpoint.id,
            "user": self.endpoint.user,
            "channel": self.endpoint.contact.channel,
            "webhook_id": message_id(self.event.event_id),
            "event_id": self.event.event_id,
            "type": self.event.type,
            "outcome": attempt.outcome,
            "reason": attempt.reason,
            "detail": attempt.detail,
            "status": attempt.status,
            "took_ms": self.took_ms,
            "response": attempt.response,
        }


class WebhookTrials:
    """Tries endpoints from this process, in one event loop."""

    def __init__(self, settings: Settings, resolver: Resolver | None = None) -> None:
        """Prepare; nothing is opened before it is needed."""
        self._settings = settings
        self._resolver = resolver or Resolver()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def check(self, channel: str, url: str) -> str:
        """Look whether an endpoint of a channel may have this URL; raise `InvalidEndpoint`.

        A name is looked up: it is refused where all its addresses are. Return why it has none now,
        or empty text.
        """
        guard = _guard(self._channel(channel))
        endpoint = guard.endpoint(url)
        try:
            addresses = await self._resolver.addresses(endpoint.host)
        except OSError as error:  # the name has none, or this machine has no more threads
            return error.strerror or str(error)
        if not any(_is_allowed(guard, address) for address in addresses):
            raise InvalidEndpoint("url", str(Blocked()))
        return ""

    async def test(
        self, key_space: KeySpace, endpoint: WebhookEndpoint, timeout_s: float | None = None
    ) -> Trial:
        """Send a test event to an endpoint, signed as any, also where it is disabled.

        It has the time of an attempt, or *timeout_s*, if that is less.
        """
        channel = endpoint.contact.channel
        event = trial_event(channel, endpoint.user, TEST_TYPE)
        delivery = Delivery(channel, endpoint.user, event, endpoint.contact, PRODUCER)
        async with self.kind(channel, key_space) as kind:
            began = time.monotonic()
            attempt = await self.send(kind, delivery, timeout_s)
            took_ms = int((time.monotonic() - began) * 1000)
        return Trial(endpoint, event, attempt, took_ms)

    @asynccontextmanager
    async def kind(self, channel: str, key_space: KeySpace) -> AsyncIterator[WebhookKind]:
        """Have a channel's own kind send from this process while the block runs."""
        settings = self._channel(channel)
        # Reading the authorities takes long.
        tls = await asyncio.to_thread(ssl.create_default_context)
        sender = WebhookSender(_guard(settings), tls=tls)
        client = open_async(self._settings, connections=1, name="webhooks")
        try:
            kind = WebhookKind(channel, settings, client, key_space, sender=sender)
            try:
                yield kind
            finally:
                await kind.close()
        finally:
            await client.aclose()

    async def send(
        self, kind: WebhookKind, delivery: Delivery, timeout_s: float | None = None
    ) -> Attempt:
        """Send to the endpoint of a delivery, whatever types it wants."""
        own_s = self._channel(delivery.channel).timeout_ms / 1000
        deadline = asyncio.get_running_loop().time() + min(own_s, timeout_s or own_s)
        try:
            return await kind.send(delivery, Target(delivery.contact), deadline)
        except OSError as error:
            what = f"this machine has no more sockets or memory: {error.strerror}"
            return Attempt("transient", "connect", what)

    def close(self) -> None:
        """Wait for no look-up any more."""
        self._resolver.close()

    def _channel(self, name: str) -> WebhookChannel:
        found = self._settings.channels[name]
        assert isinstance(found, WebhookChannel)
        return found


def _guard(channel: WebhookChannel) -> Guard:
    return Guard(channel.allow, channel.ports, require_https=channel.require_https)


def _is_allowed(guard: Guard, address: str) -> bool:
    try:
        guard.check(address)
    except Blocked:
        return False
    return True
