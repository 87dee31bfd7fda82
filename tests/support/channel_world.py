"""The external channels of a daemon in the test's own loop, with a kind that does as it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.part import ChannelsPart
from galaxy_notify.channels.sending import HasRead
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.daemon.shard import Shard
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry import Telemetry
from tests.support.contacts import key
from tests.support.deployment import DeploymentFixture, member_of
from tests.support.wait import HANG_S, until

DELIVERED = Attempt("delivered", "", "")
BUSY = Attempt("transient", "http_status", "it answered 503", 503)
SILENT = Attempt("transient", "timeout", "no answer")
UNREACHABLE = Attempt("transient", "connect", "refused")
REFUSED = Attempt("permanent", "raised", "no such user")
GONE = Attempt("gone", "http_status", "it answered 410", 410)
BLOCKED = Attempt("permanent", "blocked", "the address is blocked")
MINE = "tests.support.contacts:send"


def channel_sections(
    channels: Sequence[str] = ("mine",), *, shards: int = 1, poll_ms: int = 1000, **fields: Any
) -> dict[str, dict[str, Any]]:
    """Return the sections of a deployment with channels of one's own, with these fields."""
    worker = {"channels": ["push", *channels], "shards": shards, "poll_interval_ms": poll_ms}
    section = {"kind": MINE, "lease_ttl_ms": 86_400_000, "timeout_ms": 600_000, **fields}
    return {
        "worker": worker,
        "channels": {name: section for name in channels},
        "contacts": {"keys": [key()]},
    }


class ScriptedKind:
    """Sends nothing: *answer* says what becomes of each attempt. The host is the address."""

    has_contacts = True

    def __init__(self, answer: Callable[[Delivery], Any] = lambda _: DELIVERED) -> None:
        self.answer = answer
        self.sent: list[Delivery] = []
        self.closed = False

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return the contacts that take this type."""
        del event
        return [Target(one, one.address) for one in contacts if not one.data.get("filtered")]

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Do as the test says; it may answer by a coroutine, and raise."""
        del deadline
        assert delivery.contact == target.contact
        self.sent.append(delivery)
        answered = self.answer(delivery)
        found: Attempt = await answered if asyncio.iscoroutine(answered) else answered
        return found

    async def close(self) -> None:
        """Note that nothing is sent any more."""
        self.closed = True

    @property
    def users(self) -> list[str]:
        """Return to whom it was sent, in order."""
        return [one.user_id for one in self.sent]

    @property
    def addresses(self) -> list[str]:
        """Return where it was sent to, in order."""
        return [one.address for one in self.sent]


class Book:
    """Contacts in memory: each user has one whose address is the user's name, unless given."""

    def __init__(self) -> None:
        self.users: dict[str, list[Contact]] = {}
        self.disabled: list[str] = []
        self.fails: Callable[[], None] = lambda: None

    def put(self, user: str, *addresses: str, **data: Any) -> None:
        """Give a user these addresses, whose ids they are as well."""
        self.users[user] = [Contact(one, "mine", MINE, one, data, 1) for one in addresses]

    async def of(self, user: str, channel: str) -> tuple[Contact, ...]:
        """Return the contacts of a user."""
        self.fails()
        if user not in self.users:
            return (Contact("c1", channel, MINE, user, {}, 1),)
        return tuple(self.users[user])

    async def disable(self, user: str, contact: Contact, reason: str) -> Contact | None:
        """Disable a contact."""
        self.disabled.append(contact.id)
        kept = self.users.get(user, [contact])
        gone = replace(contact, disabled_at_ms=1, disabled_reason=reason)
        self.users[user] = [gone if one.id == contact.id else one for one in kept]
        return gone


class ChannelWorld:
    """What one process of a deployment has; several may run beside each other."""

    def __init__(self, deployment: DeploymentFixture, url: str, name: str, **settings: Any) -> None:
        self.deployment = deployment
        self.settings = deployment.settings_at(url or deployment.settings.redis.url, **settings)
        self.book = Book()
        self.has_read: HasRead | None = None
        self.kinds: Mapping[str, ScriptedKind] = {
            channel: ScriptedKind() for channel in self.settings.external_channels
        }
        self._name = name
        self.telemetry = Telemetry.off()

    @property
    def kind(self) -> ScriptedKind:
        """Return the kind of the first channel."""
        return next(iter(self.kinds.values()))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[ChannelsPart]:
        """Send while the block runs, then drain."""
        settings = self.settings
        policy = Policy.from_settings(settings, self._name)
        places = sum(settings.channels[name].concurrency for name in self.kinds)
        connections = places + settings.worker.shards * 3
        client = open_async(settings, connections=connections, name=self._name)
        publisher = PublisherState(settings, policy, self.telemetry, {"host": "h"})
        self.publisher = publisher
        key_space = KeySpace(settings.redis.prefix, policy.shared)
        shards = [Shard(client, publisher, keys) for keys in key_space.all_keys]
        found = [(shard.state, shard.store) for shard in shards]
        part = ChannelsPart(publisher, found, self.kinds, self.book, self.has_read)
        running = asyncio.create_task(part.run())
        try:
            yield part
        finally:
            part.stop()
            await asyncio.wait({running}, timeout=HANG_S)
            assert running.done(), "the channels did not drain"
            running.result()
            await client.aclose()

    def notify(self, *users: str, channel: str = "mine", **fields: Any) -> list[str]:
        """Hand an intent in; return the members of its routes."""
        made = self.deployment.notify(*users, channels=[channel], **fields)
        return [member_of(made, user, channel) for user in users]

    async def until_status(self, member: str, status: str) -> None:
        """Wait until a route has a status."""
        await until(lambda: str(self.deployment.route(member).status) == status, f"it is {status}")


def world_of(
    deployment: DeploymentFixture, url: str = "", *, name: str = "host-7-abcd", **settings: Any
) -> ChannelWorld:
    """Return a process of a deployment, that serves its external channels."""
    return ChannelWorld(deployment, url, name, **settings)
