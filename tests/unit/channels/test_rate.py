"""The rate of a channel, as one process has its share of it."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.channels import rate
from galaxy_notify.channels.rate import Rate
from galaxy_notify.redis_state.rate import Taken


class Bucket:
    """Answers what the test says, and keeps what it was asked."""

    def __init__(self, *answers: Taken) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[int, int, int]] = []

    async def __call__(self, *, interval_us: int, burst: int, wanted: int) -> Taken:
        """Answer."""
        self.asked.append((interval_us, burst, wanted))
        return self.answers.pop(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, which the test moves."""
    now = [100.0]
    monkeypatch.setattr(rate, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("per_s", "asked"),
    [(1000, (1000, 100, 50)), (10, (100_000, 1, 1)), (1 / 60, (60_000_000, 1, 1))],
)
def test_take__asks_for_what_a_moment_needs(per_s: float, asked: tuple[int, int, int]) -> None:
    """Of a high rate several at once, of a low one each alone."""
    bucket = Bucket(Taken(1, 0))
    assert asyncio.run(Rate(per_s, bucket).take()) == 0.0
    assert bucket.asked == [asked]


def test_take__uses_up_what_it_has(clock: list[float]) -> None:
    """Redis is asked again only when nothing is left; then it says when there is more."""
    bucket = Bucket(Taken(2, 0), Taken(0, 250))
    share = Rate(100, bucket)

    async def scenario() -> list[float]:
        return [await share.take() for _ in range(3)]

    assert asyncio.run(scenario()) == [0.0, 0.0, 0.25]
    assert len(bucket.asked) == 2


@pytest.mark.parametrize(("per_s", "kept_s"), [(100, 1.0), (1 / 60, 60.0)])
def test_give_back__is_used_again_for_a_while(
    clock: list[float], per_s: float, kept_s: float
) -> None:
    """What an idle claim did not use is there for the next one; of a slow rate until the next one.

    Otherwise a channel that is polled would use up a slow rate without sending anything.
    """
    bucket = Bucket(Taken(1, 0), Taken(1, 0))
    share = Rate(per_s, bucket)

    async def scenario() -> None:
        await share.take()
        share.give_back()
        clock[0] += kept_s - 0.1
        assert await share.take() == 0.0
        assert len(bucket.asked) == 1
        share.give_back()
        clock[0] += 0.2
        assert await share.take() == 0.0
        assert len(bucket.asked) == 2

    asyncio.run(scenario())
