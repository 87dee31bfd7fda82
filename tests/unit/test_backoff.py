"""Delays between attempts, and pauses during an outage."""

from __future__ import annotations

from random import Random

import pytest

from galaxy_notify.backoff import OutageBackoff, delay_ms


@pytest.mark.parametrize(
    ("attempt", "minimum", "maximum", "expected"),
    [
        (-5, 1000, 60000, 1000),
        (0, 1000, 60000, 1000),
        (1, 1000, 60000, 1000),
        (2, 1000, 60000, 2000),
        (3, 1000, 60000, 4000),
        (6, 1000, 60000, 32000),
        (7, 1000, 60000, 60000),
        (8, 1000, 60000, 60000),
        (10_000, 1000, 60000, 60000),
        (10**30, 1, 2**40, 2**40),
        (1, 500, 500, 500),
        (9, 500, 500, 500),
        (3, 1, 5, 4),
        (4, 1, 5, 5),
        (1, 9000, 500, 500),
        (1, 0, 0, 1),
    ],
)
def test_delay__doubles_up_to_the_maximum(
    attempt: int, minimum: int, maximum: int, expected: int
) -> None:
    """Without jitter the delay doubles from the minimum and stays at the maximum."""
    assert delay_ms(attempt, minimum, maximum, "none", Random(1)) == expected


@pytest.mark.parametrize("attempt", [0, 1, 2, 5, 7, 50, 10_000])
@pytest.mark.parametrize(("minimum", "maximum"), [(1, 1), (1, 7), (1000, 60000), (500, 500)])
def test_delay__full_jitter_stays_within_bounds(attempt: int, minimum: int, maximum: int) -> None:
    """Full jitter is never above the delay, and never below half the minimum or 1 ms."""
    rng = Random(7)
    delay = delay_ms(attempt, minimum, maximum, "none", rng)
    drawn = [delay_ms(attempt, minimum, maximum, "full", rng) for _ in range(300)]
    assert max(1, minimum // 2) <= min(drawn)
    assert max(drawn) <= delay


def test_delay__full_jitter_spreads_over_the_range() -> None:
    """Full jitter reaches both ends of its range, also for the first attempt."""
    rng = Random(7)
    first = [delay_ms(1, 1000, 60000, "full", rng) for _ in range(2000)]
    late = [delay_ms(9, 1000, 60000, "full", rng) for _ in range(2000)]
    assert min(first) < 520
    assert max(first) > 980
    assert min(late) < 1500
    assert max(late) > 59000


def test_outage__grows_to_the_maximum_and_resets() -> None:
    """Pauses double up to the maximum; a reset starts again from the shortest."""
    backoff = OutageBackoff(50, 5000, Random(3))
    ceilings = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
    drawn = [backoff.next() for _ in ceilings]
    assert all(ceiling // 10 <= ms <= ceiling for ms, ceiling in zip(drawn, ceilings, strict=True))
    backoff.reset()
    assert backoff.next() <= 50


def test_outage__grown_makes_at_most_two_tries_a_second() -> None:
    """Once grown, no pause is shorter than half a second, even after a very long outage."""
    backoff = OutageBackoff(rng=Random(3))
    for _ in range(10_000):
        backoff.next()
    assert min(backoff.next() for _ in range(1000)) >= 500


def test_outage__one_millisecond_is_enough() -> None:
    """The smallest settings give a pause of 1 ms, never 0."""
    backoff = OutageBackoff(0, 0, Random(3))
    assert [backoff.next() for _ in range(3)] == [1, 1, 1]
