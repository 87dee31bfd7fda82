"""Loops that meet one outage: their tries are apart, and all go on when one was answered."""

from __future__ import annotations

import asyncio
from itertools import count, pairwise

import pytest
from redis import exceptions

from galaxy_notify.redis_state import persistence
from galaxy_notify.redis_state.faults import fault_of
from galaxy_notify.redis_state.persistence import Outages, Persistence, StopFlag
from galaxy_notify.telemetry.logs import get_logger

REFUSED = fault_of(exceptions.ConnectionError("refused"))


@pytest.fixture
def outages() -> Outages:
    return Outages(get_logger("test"))


async def unmended(_: object) -> bool:
    return False


def test_turns__are_half_a_second_apart(outages: Outages, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many loops there are, and whatever pause each of them wants."""
    monkeypatch.setattr(persistence, "monotonic", lambda: 100.0)
    turns = [outages.turn(pause) for pause in (0.05, 0.04, 30.0, 0.7, 0.06, 29.8, 2.0)]
    assert turns[0] == pytest.approx(0.05)
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(sorted(turns)))
    # One that waits long puts off nobody who does not come near it.
    assert max(turn for turn in turns if turn < 20) < 3


def test_answer__lets_all_try_at_once(outages: Outages) -> None:
    """When one of many was answered, the others do not wait for their turns."""
    stop, calls = StopFlag(), count(1)

    async def call() -> str:
        # Each fails once, and the first that tries again is answered.
        if next(calls) <= 20:
            raise REFUSED
        return "answered"

    async def run() -> list[str]:
        loops = [Persistence(stop, outages, unmended) for _ in range(20)]
        # Their turns alone would take ten seconds.
        async with asyncio.timeout(5):
            return await asyncio.gather(*(loop(call) for loop in loops))

    assert asyncio.run(run()) == ["answered"] * 20


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
