"""When failed calls are tried again: apart from each other, and all at once after an answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from redis import exceptions
from structlog.testing import capture_logs

from galaxy_notify.redis_client import retries
from galaxy_notify.redis_client.faults import fault_of
from galaxy_notify.redis_client.retries import (
    OutageLog,
    RefreshLimiter,
    Retry,
    RetryPolicy,
    Stagger,
)
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

REFUSED = fault_of(exceptions.ConnectionError("refused"))
PASSWORD = fault_of(exceptions.AuthenticationError("WRONGPASS invalid username-password pair"))
ONE_A_SECOND = RetryPolicy(least_pause_s=1.0)
NewRetry = Callable[..., Retry]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the pure part a clock of the test's own."""
    clock = Clock()
    monkeypatch.setattr(retries, "monotonic", clock)
    return clock


def new_log() -> OutageLog:
    return OutageLog(EdgeLog(get_logger("test")))


@pytest.fixture
def new_retry() -> NewRetry:
    """Make loops that share one stagger and one log."""
    return partial(Retry, new_log(), Stagger(1.0))


def failed(retry: Retry) -> float:
    """Let a call fail; return when the next one may be made."""
    retry.failed(REFUSED.fault)
    return retry.retry_at


def test_turns__are_apart_whatever_pause_a_loop_wants(clock: Clock) -> None:
    """However many loops there are; one that waits long puts off nobody who is far from it."""
    stagger = Stagger(0.5)
    pauses = (0.05, 0.04, 30.0, 0.7, 0.06, 29.8, 2.0)
    turns = [stagger.turn(Retry(new_log(), stagger), pause) - clock.now for pause in pauses]
    assert turns[0] == pytest.approx(0.05)
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(sorted(turns)))
    assert max(turn for turn in turns if turn < 20) < 3


def test_turn__of_a_lone_loop_is_after_its_pause(clock: Clock) -> None:
    """One that nobody else waits beside tries as soon as it wants to, again and again."""
    stagger = Stagger()
    retry = Retry(new_log(), stagger)
    for pause in (0.05, 0.1, 0.2):
        assert stagger.turn(retry, pause) - clock.now == pytest.approx(pause)
        clock.now += pause


def test_turn__to_come_is_not_put_off_by_further_failures(
    clock: Clock, new_retry: NewRetry
) -> None:
    """Several slots hear of the same death; the retry that is scheduled stays."""
    retry = new_retry()
    at = failed(retry)
    assert [failed(retry) for _ in range(10)] == [at] * 10
    clock.now = at
    assert failed(retry) > at


def test_turns__of_many_shards_are_one_a_second(clock: Clock, new_retry: NewRetry) -> None:
    """No more and no less, however often each of them fails meanwhile."""
    shards = [new_retry() for _ in range(20)]
    for _ in range(3):
        turns = sorted(failed(shard) for shard in shards)
    assert all(1 - 1e-9 <= later - sooner < 1.2 for sooner, later in pairwise(turns))


def test_turns__are_those_of_a_node(clock: Clock, new_retry: NewRetry) -> None:
    """Shards of one node do not wait for those of another, nor does its return help them."""
    first, second, third, fourth = (new_retry(node=name.lower) for name in "AABB")
    turns = [failed(one) for one in (first, second, third, fourth)]
    assert turns[1] - turns[0] > 0.999_999
    assert turns[2] - turns[0] < 0.4
    first.recovered()
    assert second.retry_at == 0.0
    assert fourth.retry_at > clock.now


def test_recovery__at_a_new_primary_releases_all_that_it_serves() -> None:
    """A shard that last failed at the old one does not wait for its turn there."""
    serves = {"first": "old", "second": "old", "third": "old"}
    stagger = Stagger(1.0)
    shards = [Retry(new_log(), stagger, node=partial(serves.__getitem__, name)) for name in serves]
    for shard in shards[:2]:
        failed(shard)
    serves.update(dict.fromkeys(serves, "new"))
    failed(shards[2])
    shards[2].recovered()
    assert [shard.retry_at for shard in shards] == [0.0] * 3


def test_recovery__wakes_those_who_wait_at_the_node(new_retry: NewRetry) -> None:
    """And a loop that was never down changes nothing."""
    woken: list[str] = []
    first, second, well = (new_retry(wake=partial(woken.append, name)) for name in "12w")
    for retry in (first, second):
        failed(retry)
    well.recovered()
    assert woken == []
    first.recovered()
    assert sorted(woken) == ["1", "2"]
    assert (first.is_down, second.is_down) == (False, True), "the other has not been answered yet"


def test_recovery__is_not_shown_by_a_call_that_began_before_the_failure(
    clock: Clock, new_retry: NewRetry
) -> None:
    """A slot that asked just before another one failed does not say that Redis is back."""
    retry, began_at = new_retry(), clock.now
    clock.now += 1
    failed(retry)
    retry.recovered(began_at)
    assert retry.is_down
    retry.recovered(clock.now)
    assert (retry.is_down, retry.retry_at) == (False, 0.0)


def test_pauses__grow_to_the_longest(clock: Clock, new_retry: NewRetry) -> None:
    """They are drawn at random, and start from the shortest again after an answer."""
    retry, pauses = new_retry(), []
    for _ in range(200):
        pauses.append(failed(retry) - clock.now)
        clock.now = retry.retry_at
    assert pauses[0] <= 0.06
    assert 4 < max(pauses) <= 5.1
    assert min(pauses[20:]) >= 0.4
    retry.recovered()
    assert failed(retry) - clock.now <= 0.06


def test_pauses__follow_the_policy(clock: Clock, new_retry: NewRetry) -> None:
    """The first retry may come at once, for an outage may be a blink; later ones are apart."""
    soon = new_retry(policy=ONE_A_SECOND)
    assert failed(soon) - clock.now <= 0.06
    for _ in range(20):
        clock.now = soon.retry_at
        assert failed(soon) - clock.now > 0.999_999
    late = Retry(new_log(), Stagger(), RetryPolicy(longest_ms=2000, first_pause_s=0.6))
    assert failed(late) - clock.now == pytest.approx(0.6)
    for _ in range(50):
        clock.now = late.retry_at
        assert failed(late) - clock.now <= 2.001


def test_pauses__of_many_processes_are_spread(clock: Clock) -> None:
    """A least pause alone would bring all of them back at the same moment."""
    policy = RetryPolicy(shortest_ms=800, first_pause_s=0.5, least_pause_s=0.5)
    pauses = {failed(Retry(new_log(), Stagger(), policy)) - clock.now for _ in range(50)}
    assert min(pauses) >= 0.5
    assert max(pauses) <= 0.801
    assert len(pauses) > 10


def test_pause__is_half_a_minute_where_a_person_has_to_act(
    clock: Clock, new_retry: NewRetry
) -> None:
    """And it is that of one loop: it does not hold others up."""
    refused, away = new_retry(), new_retry()
    refused.failed(PASSWORD.fault)
    assert refused.left_s() == 30
    assert failed(away) < refused.retry_at - 20


def test_attempt__is_made_by_one_slot_at_a_time(clock: Clock, new_retry: NewRetry) -> None:
    """One that hangs is not joined by the other slots; its end decides how long they rest."""
    retry = new_retry()
    retry.attempt()
    assert retry.left_s() == 0
    clock.now = failed(retry)
    retry.attempt()
    assert retry.left_s() > 4
    failed(retry)
    assert retry.left_s() < 1
    retry.attempt()
    retry.recovered()
    assert retry.left_s() == 0


def test_outage__of_several_loops_is_logged_once() -> None:
    """It ends when the last of them was answered."""
    with capture_logs() as lines:
        log, stagger = new_log(), Stagger()
        loops = [Retry(log, stagger) for _ in range(3)]
        assert [loop.failed(REFUSED.fault) for loop in loops] == [True, False, False]
        for loop in loops:
            assert len(lines) == 1
            loop.recovered()
    assert [line["event"] for line in lines] == ["redis unavailable", "redis available again"]


def test_refreshes__are_half_a_second_apart(clock: Clock) -> None:
    """One that refuses every call does not have the primary looked up for each."""
    limiter = RefreshLimiter()
    assert [limiter.may_refresh(), limiter.may_refresh()] == [True, False]
    clock.now += 0.5
    assert limiter.may_refresh()
