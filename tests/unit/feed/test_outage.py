"""Waiting for Postgres: what ends an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from galaxy_notify.errors import FeedRefused, FeedUnavailable
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.redis_client.async_retries import StopFlag
from tests.support.wait import until


async def _ready() -> None:
    """Answer, as a server whose disk is full does."""


def _outage() -> PostgresOutage:
    return PostgresOutage(StopFlag(bool), _ready)


def _run(scenario: Callable[[PostgresOutage], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario(_outage())

    asyncio.run(body())


def test_outage__of_writes_does_not_end_with_a_read() -> None:
    """A read-only server answers all else: the outage ends with the first write."""

    async def scenario(outage: PostgresOutage) -> None:
        refusals = [FeedUnavailable("read only", code="read_only") for _ in range(3)]
        is_over = asyncio.Event()

        async def write() -> str:
            if refusals:
                raise refusals.pop()
            await is_over.wait()
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
        is_over.set()
        assert await writing == "written"
        assert not outage.is_on

    _run(scenario)


@pytest.mark.parametrize(
    "answer", [FeedRefused("", "NUL"), FeedUnavailable("a lock", code=LOCKED)], ids=str
)
def test_outage__ends_with_an_answer_that_is_an_error(answer: Exception) -> None:
    """A lock that is not free, and a row that cannot be stored: Postgres is there."""

    async def scenario(outage: PostgresOutage) -> None:
        answers: list[Exception] = [answer, FeedUnavailable("away", code="connection")]

        async def write() -> None:
            raise answers.pop()

        with pytest.raises(type(answer)):
            await outage.answered(write, writes=True)
        assert not answers
        assert not outage.is_on

    _run(scenario)
