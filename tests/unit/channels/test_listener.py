"""The listener of a shard: which channels it listens for, and what becomes of a wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import pytest

from galaxy_notify.channels.listener import WakeListener
from galaxy_notify.channels.sources import RouteSource, Sources
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.telemetry.logs import get_logger
from tests.support.scripted_shard import AWAY, ScriptedStore, scripted_shard, source_at
from tests.support.telemetry import json_logs
from tests.support.wait import until


class World:
    """A listener for two channels, whose places rest when the test says so."""

    def __init__(self) -> None:
        self.shard, self.store = scripted_shard()
        self.sources = {name: source_at(self.shard) for name in ("a", "b")}
        self.all = {name: Sources([source]) for name, source in self.sources.items()}
        both: dict[str, tuple[Sources, RouteSource]] = {
            name: (self.all[name], self.sources[name]) for name in self.sources
        }
        self.listener = WakeListener(self.shard, both, get_logger("x"))
        for source in self.sources.values():
            source.claim_at = monotonic() + 1000

    def rest(self, *names: str) -> None:
        """Let the places of these channels rest, and of no other."""
        for name, sources in self.all.items():
            sources._rests = name in names
        self.listener.look()

    def answer_later(self) -> asyncio.Future[bool]:
        """Let the next call last until the test answers it."""
        reply: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.store.answers.append(reply)
        return reply


def play(scenario: Callable[[World, ScriptedStore], Coroutine[Any, Any, None]]) -> None:
    """Run a scenario beside a listener, and stop that."""

    async def run() -> None:
        world = World()
        listening = asyncio.create_task(world.listener.run())
        await scenario(world, world.store)
        world.listener.stop()
        await listening
        assert world.store.made("notify")[-1] == ("a", "b"), "a wake-up may be lost"

    asyncio.run(run())


def test_wake_up__lets_places_claim() -> None:
    """All channels rest: it listens for all of them, for a while; a wake-up is for each."""

    async def scenario(world: World, store: ScriptedStore) -> None:
        reply, last = world.answer_later(), world.answer_later()
        world.rest("a", "b")
        await until(lambda: store.made("listen"), "it listens")
        assert store.made("listen") == [(("a", "b"), 1.0)]
        reply.set_result(True)
        await until(lambda: len(store.made("listen")) == 2, "it listens again")
        assert all(source.due_at <= monotonic() for source in world.sources.values())
        assert store.made("notify") == []
        world.listener.stop()
        last.set_result(False)

    play(scenario)


def test_busy_channels__are_not_listened_for() -> None:
    """While one channel finds routes it needs no wake-up: it is asked again after a short while."""

    async def scenario(world: World, store: ScriptedStore) -> None:
        reply = world.answer_later()
        world.rest("b")
        await until(lambda: store.made("listen"), "it listens")
        assert store.made("listen") == [(("b",), 0.1)]
        world.rest()
        reply.set_result(False)
        last = world.answer_later()
        world.rest("a", "b")
        await until(lambda: len(store.made("listen")) == 2, "it listens again")
        world.listener.stop()
        last.set_result(False)

    play(scenario)


def test_wake_up__of_a_channel_that_is_busy_meanwhile_is_handed_on() -> None:
    """Its places have found other routes: another process may have one that is free."""

    async def scenario(world: World, store: ScriptedStore) -> None:
        reply = world.answer_later()
        world.rest("a", "b")
        await until(lambda: store.made("listen"), "it listens")
        world.rest("b")
        last = world.answer_later()
        reply.set_result(True)
        await until(lambda: len(store.made("listen")) == 2, "it listens again")
        assert store.made("notify") == [("a",)]
        assert world.sources["a"].due_at <= monotonic()
        world.listener.stop()
        last.set_result(False)

    play(scenario)


@pytest.mark.parametrize("code", ["connection", "WRONGTYPE"])
def test_fault__is_waited_out(code: str) -> None:
    """Redis is away, or the key belongs to another client: the poll interval remains."""

    async def scenario(world: World, store: ScriptedStore) -> None:
        fault = RedisFault(Fault("WRONGTYPE", Remedy.RETRY, "x")) if code == "WRONGTYPE" else AWAY
        store.answers = [fault]
        last = world.answer_later()
        with json_logs() as lines:
            world.rest("a", "b")
            await until(lambda: store.made("listen"), "it listens")
            await until(lambda: world.listener._listen_at or world.shard.retry_at, "it waits")
            events = [line["event"] for line in lines()]
        world.listener.stop()
        last.set_result(False)
        assert events == ["wake-ups unavailable" if code == "WRONGTYPE" else "redis unavailable"]

    with json_logs():
        play(scenario)
