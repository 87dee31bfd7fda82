"""Hosts: how many attempts at a time, and how long a host rests that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from galaxy_notify.channels.hosts import FAILURES, Busy, Hosts, Permit
from tests.support.wait import until


class World:
    """Hosts with a clock that the test moves."""

    def __init__(self, per_host: int = 2) -> None:
        self.now = 1000.0
        self.hosts = Hosts(per_host, lambda: self.now, Random(1))

    async def permit(self, name: str = "h") -> Permit:
        """Enter a host that has room."""
        permit = await self.hosts.enter(name)
        assert isinstance(permit, Permit), permit
        return permit

    async def busy(self, name: str = "h") -> Busy:
        """Be refused by a host."""
        found = await self.hosts.enter(name)
        assert isinstance(found, Busy), found
        return found

    async def fail(self, times: int = FAILURES) -> None:
        """Let so many attempts get no answer."""
        for _ in range(times):
            self.hosts.leave(await self.permit(), answered=False)


def play(scenario: Callable[[World], Coroutine[Any, Any, None]], per_host: int = 2) -> None:
    """Run a scenario."""
    asyncio.run(scenario(World(per_host)))


def test_enter__without_a_host_has_no_limit() -> None:
    """A kind that does not know its hosts is not limited by them."""

    async def scenario(world: World) -> None:
        for _ in range(10):
            world.hosts.leave(await world.permit(""), answered=False)
        assert world.hosts.resting == 0

    play(scenario)


def test_enter__is_refused_where_a_slow_host_has_enough() -> None:
    """Those beyond the limit get turns, one behind the other; another host is not affected."""

    async def scenario(world: World) -> None:
        slow = await world.permit()
        world.now += 10
        world.hosts.leave(slow, answered=True)
        await world.permit()
        await world.permit()
        turns = [await world.busy() for _ in range(3)]
        assert [turn.rests for turn in turns] == [False] * 3
        assert turns[0].ms < turns[1].ms < turns[2].ms
        await world.permit("other")

    play(scenario)


def test_enter__waits_where_a_turn_is_near() -> None:
    """A quick host: whoever waits gets the place of the attempt that ends, in order."""

    async def scenario(world: World) -> None:
        first = await world.permit()
        waiting = [asyncio.create_task(world.hosts.enter("h")) for _ in range(2)]
        await until(lambda: len(world.hosts._hosts["h"].waiting) == 2, "both wait")
        world.hosts.leave(first, answered=True)
        got = await waiting[0]
        assert isinstance(got, Permit)
        assert not waiting[1].done()
        world.hosts.leave(got, answered=True)
        assert isinstance(await waiting[1], Permit)

    play(scenario, per_host=1)


def test_rest__begins_behind_failures_in_a_row() -> None:
    """Fewer than five, or an answer between them, and the host does not rest."""

    async def scenario(world: World) -> None:
        await world.fail(FAILURES - 1)
        world.hosts.leave(await world.permit(), answered=True)
        await world.fail(FAILURES - 1)
        assert world.hosts.resting == 0
        await world.fail(1)
        assert world.hosts.resting == 1
        assert (await world.busy()).rests

    play(scenario)


def test_rest__ends_with_the_answer_of_one_probe() -> None:
    """After the rest one attempt is made, all others wait for it; its answer ends the rest."""

    async def scenario(world: World) -> None:
        await world.fail()
        world.now += 1.3
        probe = await world.permit()
        assert probe.is_probe
        assert (await world.busy()).rests
        world.hosts.leave(probe, answered=True)
        assert world.hosts.resting == 0
        assert not (await world.permit()).is_probe

    play(scenario)


def test_rest__doubles_up_to_ten_minutes() -> None:
    """Each probe without an answer doubles the rest, spread by a fifth."""

    async def scenario(world: World) -> None:
        await world.fail()
        for number in range(1, 14):
            world.now += 1000
            world.hosts.leave(await world.permit(), answered=False)
            rest = world.hosts._hosts["h"].rests_until - world.now
            whole = min(2**number, 600)
            assert 0.8 * whole <= rest <= 1.2 * whole

    play(scenario)


def test_rest__an_attempt_that_was_not_made_says_nothing() -> None:
    """A probe that could not be sent leaves the turn to the next one."""

    async def scenario(world: World) -> None:
        await world.fail()
        world.now += 1.3
        world.hosts.leave(await world.permit(), answered=None)
        assert (await world.permit()).is_probe

    play(scenario)


def test_resting__forgets_hosts_that_nobody_waits_for() -> None:
    """A host whose routes are all gone is not reported for ever."""

    async def scenario(world: World) -> None:
        await world.fail()
        world.now += 590
        assert world.hosts.resting == 1
        world.now += 20
        assert world.hosts.resting == 0

    play(scenario)


def test_turns__of_many_routes_are_bounded() -> None:
    """However many wait for a host that rests, each comes back within ten minutes and the rest."""

    async def scenario(world: World) -> None:
        await world.fail()
        turns = [(await world.busy()).ms for _ in range(25_000)]
        assert max(turns) <= 602_000
        assert min(turns) > 0

    play(scenario)


@pytest.mark.parametrize("answered", [True, False, None])
def test_leave__of_a_forgotten_host_does_nothing(*, answered: bool | None) -> None:
    """Only hosts without attempts are forgotten, but a permit may be handed back late."""
    hosts = Hosts(1)
    hosts.leave(Permit("gone", 0.0), answered=answered)
    assert hosts.resting == 0
