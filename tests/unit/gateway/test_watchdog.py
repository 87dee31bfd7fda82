"""One watchdog limits all handlers, as a timeout around each would."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.gateway.handler import HandlerRunner
from galaxy_notify.gateway.watchdog import Watchdog
from tests.support.events import event_of
from tests.support.wait import HANG_S

EVENT = event_of(1)


def _reason(handler: object, limit_s: float) -> str | None:
    async def scenario() -> str | None:
        failure = await HandlerRunner(handler, limit_s).run(EVENT)  # type: ignore[arg-type]
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        return failure and failure.reason

    return asyncio.run(scenario())


async def _hangs(_: object) -> None:
    await asyncio.Event().wait()


async def _swallows(_: object) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return


async def _raises_instead(_: object) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("gave up") from None


async def _raises_a_timeout(_: object) -> None:
    raise TimeoutError("the database")


async def _cancels_itself(_: object) -> None:
    raise asyncio.CancelledError


async def _is_quick(_: object) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("handler", "limit_s", "reason"),
    [
        (_hangs, 0.01, "the handler timed out"),
        (_swallows, 0.01, None),
        (_raises_instead, 0.01, "ValueError: gave up"),
        (_raises_a_timeout, HANG_S, "TimeoutError: the database"),
        (_cancels_itself, HANG_S, "the handler was cancelled"),
        (_is_quick, HANG_S, None),
    ],
)
def test_watchdog__outcomes(handler: object, limit_s: float, reason: str | None) -> None:
    """A handler over its limit is cancelled once; what it makes of that is its outcome."""
    assert _reason(handler, limit_s) == reason


def test_watchdog__serves_many_tasks_with_one_timer() -> None:
    """Each handler over the limit is ended, whether or not those before it ended in time."""

    async def scenario() -> list[str]:
        may_end = asyncio.Event()

        async def handler(number: object) -> None:
            await (may_end.wait() if number == 0 else asyncio.Event().wait())

        runner = HandlerRunner(handler, 0.05)
        tasks = [asyncio.ensure_future(runner.call(number)) for number in range(5)]
        await asyncio.sleep(0)
        may_end.set()
        return [failure.reason for failure in await asyncio.gather(*tasks) if failure]

    assert asyncio.run(scenario()) == ["the handler timed out"] * 4


def test_watchdog__a_stop_shortens_every_limit() -> None:
    """A stop bounds the handlers that run, and those that begin after it."""

    async def scenario() -> list[str]:
        runner = HandlerRunner(_hangs, HANG_S)
        first = asyncio.ensure_future(runner.run(EVENT))
        await asyncio.sleep(0)
        runner.stop_within(0.01)
        failures = [await first, await runner.run(EVENT)]
        return [failure.reason for failure in failures if failure]

    assert asyncio.run(scenario()) == ["the handler timed out"] * 2


def test_watchdog__a_cancellation_from_outside_passes() -> None:
    """A task that someone else cancels is cancelled, also where its limit ended at that time."""

    async def scenario() -> None:
        task = asyncio.ensure_future(HandlerRunner(_hangs, HANG_S).run(EVENT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_watchdog__sets_no_timer_for_each() -> None:
    """Quick handlers one after the other share the timer of the first."""

    async def scenario() -> None:
        loop, made = asyncio.get_running_loop(), 0
        call_at = loop.call_at

        def counted(*arguments: object, **options: object) -> object:
            nonlocal made
            made += 1
            return call_at(*arguments, **options)  # type: ignore[arg-type]

        loop.call_at = counted  # type: ignore[assignment,method-assign]
        watchdog = Watchdog(HANG_S)
        for _ in range(1000):
            assert not watchdog.end(watchdog.begin())
        assert made == 1

    asyncio.run(scenario())
