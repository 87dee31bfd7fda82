"""What is wrong on our side: it costs no attempt, and what waits for it costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.channels.delivery import Delivery
from galaxy_notify.channels.endings import DueRoute
from galaxy_notify.channels.sending import Sending
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.errors import Corrupt, InvalidContact
from tests.support.channel_world import (
    DELIVERED,
    GONE,
    REFUSED,
    ChannelWorld,
    channel_sections,
    world_of,
)
from tests.support.deployment import Deploy
from tests.support.servers import Server

MakeWorld = Callable[..., ChannelWorld]


@pytest.fixture
def make(server: Server, deploy: Deploy) -> MakeWorld:
    """Make a process that serves a channel with these fields."""
    return lambda **fields: world_of(deploy(server, **channel_sections(**fields)))


def test_feed__that_hangs_does_not_keep_what_is_too_late(make: MakeWorld) -> None:
    """It is waited for as long as an attempt allows; after `max_late_ms` the route is sent."""
    world = make(unless_read=True, max_late_ms=1000, timeout_ms=2000)
    release = asyncio.Event()

    async def hangs(due: DueRoute) -> bool:
        await release.wait()
        return True

    world.has_read = hangs

    async def scenario() -> None:
        (member,) = world.notify("u1")
        async with world.working():
            await world.until_status(member, "delivered")
            release.set()
        assert world.kind.users == ["u1"]

    asyncio.run(scenario())


def test_waiting_routes__come_back_one_after_the_other() -> None:
    """So that a thousand of them do not come at once, again and again."""
    nothing: Any = None
    sending = Sending(nothing, nothing, nothing, nothing, 1.0)
    waits = [sending._own_wait_ms() for _ in range(1000)]
    assert waits[0] >= 5000
    assert max(waits) > 10_000


def test_refusal__beside_an_address_that_is_gone(make: MakeWorld) -> None:
    """The one is a dead letter all the same; who is gone is disabled."""
    world = make()
    world.book.put("u1", "a", "b")
    world.book.put("u2", "a", "b")

    def answer(delivery: Delivery) -> object:
        if delivery.address == "a":
            return GONE
        return REFUSED if delivery.user_id == "u1" else DELIVERED

    world.kind.answer = answer

    async def scenario() -> None:
        refused, delivered = world.notify("u1", "u2")
        async with world.working():
            await world.until_status(refused, "dead_letter")
            await world.until_status(delivered, "delivered")
        assert world.deployment.route(refused).history[-1].failure_class == "delivery_refused"
        assert world.book.disabled == ["a", "a"]

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [Corrupt("it was changed"), InvalidContact("", "too many")])
def test_contact__that_cannot_be_disabled(
    make: MakeWorld, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It has become unreadable meanwhile: the route ends as any, and the next one is sent."""
    world = make()
    world.kind.answer = lambda delivery: GONE if delivery.user_id == "u1" else DELIVERED

    async def fails(user: str, contact: Contact, reason: str) -> Contact | None:
        raise error

    monkeypatch.setattr(world.book, "disable", fails)

    async def scenario() -> None:
        gone, delivered = world.notify("u1", "u2")
        async with world.working():
            await world.until_status(gone, "skipped")
            await world.until_status(delivered, "delivered")

    asyncio.run(scenario())
