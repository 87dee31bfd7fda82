"""Waiting for Postgres: one asks, all others wait, and answers are not outages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from galaxy_notify.errors import ConfigurationError, FeedRefused, FeedUnavailable
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped
from tests.support.wait import until


class _Postgres:
    """Answers as told."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    async def ready(self) -> None:
        self.asked += 1
        if self.error is not None:
            raise self.error

    async def insert(self) -> str:
        if self.error is not None:
            raise self.error
        return "inserted"


def _run(scenario: Callable[[_Postgres, PostgresOutage, StopFlag], Awaitable[None]]) -> None:
    async def main() -> None:
        postgres, stop = _Postgres(), StopFlag()
        await scenario(postgres, PostgresOutage(stop, postgres.ready), stop)

    asyncio.run(main())


def test_answered__asks_once_before_the_first_call() -> None:
    """The schema is looked at once, and not before each call."""

    async def scenario(postgres: _Postgres, outage: PostgresOutage, _: StopFlag) -> None:
        for _number in range(3):
            assert await outage.answered(postgres.insert) == "inserted"
        assert postgres.asked == 1

    _run(scenario)


@pytest.mark.parametrize(
    "error", [FeedUnavailable("away", code="connection"), ConfigurationError("no schema")]
)
def test_answered__waits_until_it_is_back(error: Exception) -> None:
    """Calls of many loops are answered behind an outage; one loop asks for all of them."""

    async def scenario(postgres: _Postgres, outage: PostgresOutage, _: StopFlag) -> None:
        await outage.answered(postgres.insert)
        postgres.error = error
        calls = [asyncio.create_task(outage.answered(postgres.insert)) for _ in range(20)]
        await until(lambda: postgres.asked >= 4, "it asks again and again")
        assert outage.is_on
        assert not any(call.done() for call in calls)
        postgres.error = None
        assert await asyncio.gather(*calls) == ["inserted"] * 20
        assert not outage.is_on

    _run(scenario)


@pytest.mark.parametrize(
    "error", [FeedRefused("", "too long"), FeedUnavailable("a lock", code=LOCKED)]
)
def test_answered__takes_refusals_and_locks_for_answers(error: Exception) -> None:
    """What says something of the items is raised."""

    async def scenario(postgres: _Postgres, outage: PostgresOutage, _: StopFlag) -> None:
        await outage.answered(postgres.insert)
        postgres.error = error
        with pytest.raises(type(error)):
            await outage.answered(postgres.insert)
        assert not outage.is_on

    _run(scenario)


def test_answered__ends_with_the_stop() -> None:
    """Nothing waits for Postgres behind a stop."""

    async def scenario(postgres: _Postgres, outage: PostgresOutage, stop: StopFlag) -> None:
        postgres.error = FeedUnavailable("away", code="connection")
        calls = [asyncio.create_task(outage.answered(postgres.insert)) for _ in range(3)]
        await until(lambda: postgres.asked >= 2, "it asks")
        stop.set()
        for call in calls:
            with pytest.raises(Stopped):
                await call

    _run(scenario)


def test_outage__of_writes_does_not_end_with_a_read() -> None:
    """A server that is read-only, or whose disk is full, answers all else."""

    async def scenario(_: _Postgres, outage: PostgresOutage, __: StopFlag) -> None:
        refusals = [FeedUnavailable("read only", code="read_only") for _number in range(3)]
        takes_writes = asyncio.Event()

        async def write() -> str:
            if refusals:
                raise refusals.pop()
            await takes_writes.wait()
            return "written"

        async def read() -> str:
            return "read"

        writing = asyncio.create_task(outage.answered(write, writes=True))
        await until(lambda: outage.is_on, "the write is refused")
        assert await outage.answered(read) == "read"
        assert outage.is_on
        await until(lambda: not refusals, "it is tried again")
        assert await outage.answered(read) == "read"
        assert outage.is_on
        takes_writes.set()
        assert await writing == "written"
        assert not outage.is_on

    _run(scenario)


@pytest.mark.parametrize(
    "answer", [FeedRefused("", "too long"), FeedUnavailable("a lock", code=LOCKED)]
)
def test_outage__ends_with_an_answer_that_is_an_error(answer: Exception) -> None:
    """What says something of the items shows that Postgres is there."""

    async def scenario(_: _Postgres, outage: PostgresOutage, __: StopFlag) -> None:
        answers: list[Exception] = [answer, FeedUnavailable("away", code="connection")]

        async def write() -> None:
            raise answers.pop()

        with pytest.raises(type(answer)):
            await outage.answered(write, writes=True)
        assert not answers
        assert not outage.is_on

    _run(scenario)
