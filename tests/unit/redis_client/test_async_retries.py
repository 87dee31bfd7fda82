"""Loops that call until they are answered: all try at once after an answer, and a stop ends all."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
from redis import exceptions
from structlog.testing import capture_logs

from galaxy_notify.redis_client import async_retries, retries
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.faults import fault_of
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from tests.properties.simulation.support.clock import VirtualLoop

REFUSED = fault_of(exceptions.ConnectionError("refused"))


def new_log() -> OutageLog:
    return OutageLog(EdgeLog(get_logger("test")))


async def unrecovered(_: object) -> bool:
    return False


def test_retry_until_stopped__raises_what_breaks_the_process() -> None:
    """A defect in what hears of progress is no reason to try without a pause."""

    def broken() -> None:
        raise ValueError

    async def call() -> None:
        raise REFUSED

    async def run() -> None:
        await RetryUntilStopped(StopFlag(broken), new_log(), Stagger(), unrecovered)(call)

    with pytest.raises(ValueError):  # noqa: PT011  # it has no text
        asyncio.run(run())


def test_answer__lets_all_try_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one of many was answered, the others do not wait for their turns."""
    stop, log, stagger, calls = StopFlag(), new_log(), Stagger(), count(1)

    async def call() -> str:
        # Each fails once, and the first that tries again is answered.
        if next(calls) <= 20:
            raise REFUSED
        return "answered"

    async def run() -> list[str]:
        loops = [RetryUntilStopped(stop, log, stagger, unrecovered) for _ in range(20)]
        # Their turns alone would take ten seconds; time passes only while everybody waits.
        async with asyncio.timeout(5):
            return await asyncio.gather(*(loop(call) for loop in loops))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        for module in (retries, async_retries):
            monkeypatch.setattr(module, "monotonic", runner.get_loop().time)
        assert runner.run(run()) == ["answered"] * 20


def test_stop__ends_a_wait_at_once() -> None:
    """A loop that waits for its turn hears of the end."""
    stop = StopFlag()

    async def call() -> None:
        stop.set()
        raise REFUSED

    async def run() -> None:
        with pytest.raises(Stopped):
            await RetryUntilStopped(stop, new_log(), Stagger(), unrecovered)(call)

    asyncio.run(run())


def test_recover__may_ask_for_a_repeat_at_once() -> None:
    """What was mended is no outage: nothing is logged and nobody waits."""
    calls = count(1)

    async def mended(_: object) -> bool:
        return True

    async def call() -> int:
        if next(calls) < 3:
            raise REFUSED
        return next(calls)

    async def run() -> int:
        return await RetryUntilStopped(StopFlag(), new_log(), Stagger(), mended)(call)

    with capture_logs() as lines:
        assert asyncio.run(run()) == 4
    assert lines == []
