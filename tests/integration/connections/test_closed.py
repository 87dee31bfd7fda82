"""What is closed refuses, and names what was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from galaxy_notify import AlreadyClosed, AsyncNotifier, BackgroundNotifier, Notifier
from galaxy_notify.gateway import GatewayConsumer
from tests.support.background import enqueue, is_exact
from tests.support.events import Seen
from tests.support.founded import found_deployment
from tests.support.intents import PLAIN
from tests.support.servers import Server

ID = "0" * 32
CALLS: dict[str, Callable[[Any], Any]] = {
    "accept": lambda notifier: notifier.accept(PLAIN),
    "accept of an invalid intent": lambda notifier: notifier.accept({}),
    "accept_many": lambda notifier: notifier.accept_many([PLAIN]),
    "accept_many of none": lambda notifier: notifier.accept_many([]),
    "cancel": lambda notifier: notifier.cancel(ID),
    "cancel of an unknown id": lambda notifier: notifier.cancel("unknown"),
    "reschedule": lambda notifier: notifier.reschedule(ID, 10**12),
    "preferences": lambda notifier: notifier.preferences.silence("u1"),
    "preferences to read": lambda notifier: notifier.preferences.get("u1"),
}


@pytest.mark.parametrize("name", CALLS)
def test_notifier__refuses_after_its_close(server: Server, name: str) -> None:
    """Whether or not it was connected before, nothing connects again; closing twice is nothing."""
    found_deployment(server.url)
    with Notifier.from_url(server.url) as notifier:
        notifier.accept(PLAIN)
    with pytest.raises(AlreadyClosed, match=r"^this Notifier is closed"):
        CALLS[name](notifier)
    notifier.close()


@pytest.mark.parametrize("name", CALLS)
def test_async_notifier__refuses_after_its_close(server: Server, name: str) -> None:
    """As `Notifier` does."""
    found_deployment(server.url)

    async def scenario() -> None:
        async with AsyncNotifier.from_url(server.url) as notifier:
            await notifier.accept(PLAIN)
        with pytest.raises(AlreadyClosed, match=r"^this AsyncNotifier is closed"):
            await CALLS[name](notifier)
        await notifier.close()

    asyncio.run(scenario())


def test_preferences__refuse_after_the_close_of_their_notifier(server: Server) -> None:
    """Those that were taken from it before refuse as well."""
    found_deployment(server.url)
    with Notifier.from_url(server.url) as notifier:
        preferences = notifier.preferences
        assert preferences.silence("u1")
    with pytest.raises(AlreadyClosed, match=r"^this Notifier is closed"):
        preferences.resume("u1")


def test_background_notifier__refuses_after_its_close(server: Server) -> None:
    """What comes late is no silent drop; the sum of what came before is still right."""
    found_deployment(server.url)
    with BackgroundNotifier.from_url(server.url) as notifier:
        enqueue(notifier, "u1")
    with pytest.raises(AlreadyClosed, match=r"^this BackgroundNotifier is closed"):
        notifier.enqueue(PLAIN)
    stats = notifier.stats()
    assert (stats.enqueued, stats.accepted, is_exact(stats)) == (1, 1, True)


@pytest.mark.parametrize(
    "call", [lambda consumer: consumer.run(Seen()), lambda consumer: consumer.report()]
)
def test_consumer__refuses_after_its_block(
    server: Server, call: Callable[[GatewayConsumer], Awaitable[object]]
) -> None:
    """It does not connect again, nor return as if it had been stopped."""
    found_deployment(server.url)

    async def scenario() -> None:
        async with GatewayConsumer.from_url(server.url, group="g", consumer="c") as consumer:
            await consumer.report()
        with pytest.raises(AlreadyClosed, match=r"^this GatewayConsumer is closed"):
            await call(consumer)

    asyncio.run(scenario())
