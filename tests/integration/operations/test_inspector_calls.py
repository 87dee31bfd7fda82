"""Calls of `Inspector` and `AsyncInspector`: errors, threads, event loops, and what is given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify import (
    AlreadyClosed,
    AsyncInspector,
    ConfigurationError,
    Inspector,
    Misconfigured,
    Unavailable,
)
from galaxy_notify.inspector import inspector as calls
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.intents import PLAIN
from tests.support.servers import Server, main_server, running
from tests.support.wait import HANG_S, until

UNKNOWN = "0" * 32


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment where some wait and some have died."""
    made = deploy(server, worker__shards=2)
    made.bury(number=3)
    made.notifier.accept_many([PLAIN] * 5)
    return made


@pytest.fixture
def inspector(server: Server, deployment: DeploymentFixture) -> Iterator[Inspector]:
    """Give an inspector of the deployment."""
    del deployment
    with Inspector.from_url(server.url) as made:
        yield made


def test_errors__are_those_of_the_notifier() -> None:
    """Refused for good, away, closed, and settings that cannot be."""
    with running(main_server()) as own:
        with (
            Inspector.from_url(own.url, username="nobody", password="no") as locked,
            pytest.raises(Misconfigured),
        ):
            locked.status()
        inspector = Inspector.from_url(own.url)
        own.kill()
        for call in (inspector.list, inspector.status, inspector.dead_letters):
            with pytest.raises(Unavailable):
                call()
        with pytest.raises(Unavailable):
            inspector.show(UNKNOWN)
        inspector.close()
        own.start()
    for call in (inspector.list, inspector.status, inspector.dead_letters):
        with pytest.raises(AlreadyClosed, match="Inspector is closed"):
            call()
    for text in (UNKNOWN, "no id"):
        with pytest.raises(AlreadyClosed):
            inspector.show(text)
    with pytest.raises(ConfigurationError, match="colour"):
        Inspector.from_url("redis://localhost", colour="red")


def test_inspector__is_shared_by_threads(inspector: Inspector) -> None:
    """More threads than connections each read what one reads alone."""
    expected = (inspector.list(), inspector.dead_letters())
    wrong: list[object] = []

    def read() -> None:
        for _ in range(10):
            if (seen := (inspector.list(), inspector.dead_letters())) != expected:
                wrong.append(seen)

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert wrong == []


def test_async__reads_the_same(server: Server, inspector: Inspector) -> None:
    """In one event loop after another, many at a time; closed it refuses."""
    made = AsyncInspector.from_url(server.url)

    async def read() -> Any:
        listed, letters = await asyncio.gather(made.list(state="open"), made.dead_letters())
        shown = await asyncio.gather(*(made.show(item.notification_id) for item in listed.items))
        return listed, letters, [one and one.notification_id for one in shown]

    open_ones = inspector.list(state="open")
    ids = [item.notification_id for item in open_ones.items]
    for _ in range(2):
        assert asyncio.run(read()) == (open_ones, inspector.dead_letters(), ids)

    async def closed() -> None:
        async with made:
            assert (await made.status()).shards == 2
        with pytest.raises(AlreadyClosed, match="AsyncInspector"):
            await made.status()

    asyncio.run(closed())


def test_async__a_call_given_up_leaves_its_connection_whole() -> None:
    """While the server hangs, awaits are cancelled; afterwards each call reads its own reply."""
    with running(main_server()) as own:
        deployment = DeploymentFixture(own.url)
        receipt = deployment.notifier.accept(PLAIN)

        async def main() -> None:
            async with AsyncInspector.from_url(own.url) as inspector:
                before = await inspector.list()
                for _ in range(3):
                    own.pause()
                    calls = [asyncio.create_task(inspector.list()) for _ in range(6)]
                    await asyncio.sleep(0)
                    for call in calls:
                        call.cancel()
                    await asyncio.wait(calls)
                    assert all(call.cancelled() for call in calls)
                    own.resume()

                async def answers() -> bool:
                    shown = await inspector.show(str(receipt.notification_id))
                    return shown is not None and await inspector.list() == before

                await until(answers, "the inspector answers")
                assert all(await asyncio.gather(*(answers() for _ in range(8))))

        asyncio.run(main())
        deployment.close()


@pytest.mark.parametrize("read", ["list_notifications", "read_dead_page"])
def test_filters__hold_for_a_second_try(
    read: str, inspector: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of a filter may come from an iterator, which gives them once."""
    original, tries = getattr(calls, read), []

    def away_at_first(*args: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            raise RedisFault(Fault("connection", Remedy.RETRY, "it was away"))
        return original(*args)

    monkeypatch.setattr(calls, read, away_at_first)
    words = (word for word in ["nothing.like.it"])
    lists = read == "list_notifications"
    page = inspector.list(type=words) if lists else inspector.dead_letters(type=words)
    assert (len(tries), page.items) == (2, ())
