"""Loops that meet one outage: their tries are apart, and all go on when one was answered."""

from __future__ import annotations

import asyncio
from itertools import count, pairwise

import pytest
from redis import exceptions

from galaxy_notify.redis_client import persistence
from galaxy_notify.redis_client.faults import fault_of
from galaxy_notify.redis_client.persistence import Outages, Persistence, StopFlag, Turns
from galaxy_notify.telemetry.logs import get_logger
from tests.simulation.support.clock import VirtualLoop

REFUSED = fault_of(exceptions.ConnectionError("refused"))


@pytest.fixture
def outages() -> Outages:
    return Outages(get_logger("test"))


async def unmended(_: object) -> bool:
    return False


def test_turns__are_half_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many loops there are, and whatever pause each of them wants."""
    monkeypatch.setattr(persistence, "monotonic", lambda: 100.0)
    queue = Turns()
    pauses = (0.05, 0.04, 30.0, 0.7, 0.06, 29.8, 2.0)
    turns = [queue.next(who, pause) for who, pause in enumerate(pauses)]
    assert turns[0] == pytest.approx(0.05)
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(sorted(turns)))
    # One that waits long puts off nobody who does not come near it.
    assert max(turn for turn in turns if turn < 20) < 3


def test_turns__of_a_lone_loop_are_its_pauses() -> None:
    """One that nobody else waits beside tries as soon as it wants to, again and again."""
    queue = Turns()
    assert [round(queue.next("me", pause), 3) for pause in (0.05, 0.1, 0.2)] == [0.05, 0.1, 0.2]


def test_turns__are_those_of_a_node(outages: Outages) -> None:
    """A loop whose own node answers again does not wait behind those of a dead one."""
    dead = [outages.down(f"dead {n}", REFUSED.fault, "a:1") for n in range(12)]
    for number, queue in enumerate(dead):
        queue.next(f"dead {number}", 0.05)
    mine = outages.down("mine", REFUSED.fault, "b:2")
    assert mine.next("mine", 0.05) == pytest.approx(0.05, abs=0.01)


def test_wait__raises_what_breaks_the_process(outages: Outages) -> None:
    """A defect in what hears of progress is no reason to try without a pause."""

    def broken() -> None:
        raise ValueError

    async def call() -> None:
        raise REFUSED

    async def run() -> None:
        await Persistence(StopFlag(broken), outages, unmended)(call)

    with pytest.raises(ValueError):  # noqa: PT011  # it has no text
        asyncio.run(run())


def test_answer__lets_all_try_at_once(outages: Outages, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one of many was answered, the others do not wait for their turns."""
    stop, calls = StopFlag(), count(1)

    async def call() -> str:
        # Each fails once, and the first that tries again is answered.
        if next(calls) <= 20:
            raise REFUSED
        return "answered"

    async def run() -> list[str]:
        loops = [Persistence(stop, outages, unmended) for _ in range(20)]
        # Their turns alone would take ten seconds; time passes only while everybody waits.
        async with asyncio.timeout(5):
            return await asyncio.gather(*(loop(call) for loop in loops))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        monkeypatch.setattr(persistence, "monotonic", runner.get_loop().time)
        assert runner.run(run()) == ["answered"] * 20


def test_stop__ends_a_wait_at_once(outages: Outages) -> None:
    """A loop that waits for its turn hears of the end."""
    stop = StopFlag()

    async def call() -> None:
        stop.set()
        raise REFUSED

    async def run() -> None:
        with pytest.raises(persistence.Stopped):
            await Persistence(stop, outages, unmended)(call)

    asyncio.run(run())
