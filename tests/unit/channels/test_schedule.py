"""The schedule of a channel: how often, and when again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from galaxy_notify.channels.schedule import Schedule
from galaxy_notify.model.route import Route, Status
from galaxy_notify.settings.channel_kinds import OwnChannel
from galaxy_notify.settings.sections import RetrySettings

RETRY = RetrySettings(backoff_min_ms=100, backoff_max_ms=1000, max_attempts=8, jitter="none")


def _schedule(**fields: Any) -> Schedule:
    channel = OwnChannel(kind="tests.support.contacts:send", **fields)
    made = Schedule.from_settings(channel, RETRY)
    return Schedule(
        made.delays, made.minimum, made.maximum, made.jitter, made.max_attempts, Random(1)
    )


@pytest.mark.parametrize(
    ("fields", "of_intent", "attempts"),
    [
        ({}, 0, 8),
        ({}, 3, 3),
        ({"max_attempts": 5}, 0, 5),
        ({"schedule_ms": (1, 2)}, 0, 3),
        ({"schedule_ms": (1, 2)}, 9, 3),
        ({"schedule_ms": (1, 2), "max_attempts": 2}, 0, 2),
    ],
)
def test_attempts__are_the_least_of_what_is_set(
    fields: dict[str, Any], of_intent: int, attempts: int
) -> None:
    """The intent's number or the channel's, and never more than the schedule has."""
    route = Route(Status.PENDING, 1, 1, max_attempts=of_intent)
    assert _schedule(**fields).attempts(route) == attempts


def test_delay__is_that_of_the_schedule_spread_by_a_fifth() -> None:
    """Each entry is the pause after that attempt; the last one stays."""
    schedule = _schedule(schedule_ms=(1000, 50_000))
    for attempt, whole in ((1, 1000), (2, 50_000), (3, 50_000)):
        delays = {schedule.delay_ms(attempt) for _ in range(100)}
        assert 0.8 * whole <= min(delays) < max(delays) <= 1.2 * whole


def test_delay__grows_without_a_schedule() -> None:
    """It doubles from the least to the most; the channel's own bounds come first."""
    assert [_schedule().delay_ms(attempt) for attempt in (1, 2, 3, 9)] == [100, 200, 400, 1000]
    own = _schedule(backoff_min_ms=1, backoff_max_ms=3)
    assert [own.delay_ms(attempt) for attempt in (1, 2, 3, 9)] == [1, 2, 3, 3]


def test_delay__is_as_long_as_the_other_side_asks_within_the_schedule() -> None:
    """Shorter than ours changes nothing; longer than the longest of ours is cut to that."""
    assert _schedule().delay_ms(1, 50) == 100
    assert _schedule().delay_ms(1, 700) == 700
    assert _schedule().delay_ms(1, 86_400_000) == 1000
    assert _schedule(schedule_ms=(1, 9000)).delay_ms(1, 86_400_000) == 9000
