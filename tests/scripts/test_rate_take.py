"""rate_take: sends of a channel, spread evenly over all processes."""

from __future__ import annotations

import pytest

from galaxy_notify.redis_state.rate import Taken, rate_take, read_taken
from tests.scripts.support.shard import NOW, Shard

INTERVAL_US = 100_000


def _take(shard: Shard, wanted: int, after_ms: int = 0, burst: int = 1) -> Taken:
    shard.now = NOW + after_ms
    call = rate_take(shard.keys, "push", INTERVAL_US, burst, wanted, shard.now)
    return read_taken(shard.run(call))


def test_rate_take__spreads_sends_evenly(shard: Shard) -> None:
    """One is there at once; whoever comes too early is answered when the next one is."""
    assert _take(shard, 1) == Taken(1, 0)
    assert _take(shard, 1) == Taken(0, 100)
    assert _take(shard, 1, 99) == Taken(0, 1)
    assert _take(shard, 1, 100) == Taken(1, 0)
    assert _take(shard, 1, 101) == Taken(0, 99)


def test_rate_take__saves_up_to_a_burst(shard: Shard) -> None:
    """What was not used is there later, as far as the burst allows; and what is wanted, at most."""
    assert _take(shard, 10, burst=3) == Taken(3, 0)
    assert _take(shard, 10, 200, burst=3) == Taken(2, 0)
    assert _take(shard, 10, 60_000, burst=3) == Taken(3, 0)
    assert _take(shard, 1, 60_300, burst=3) == Taken(1, 0)
    assert _take(shard, 10, 60_300, burst=3) == Taken(2, 0)


def test_rate_take__never_exceeds_the_rate(shard: Shard) -> None:
    """Over ten seconds of asking each 7 ms, there are ten a second, and the burst at the start."""
    taken = [_take(shard, 3, after_ms, burst=5).sends for after_ms in range(0, 10_000, 7)]
    assert 100 <= sum(taken) <= 105


def test_rate_take__channels_have_rates_of_their_own(shard: Shard) -> None:
    """Another channel is asked separately."""
    assert _take(shard, 1) == Taken(1, 0)
    other = rate_take(shard.keys, "email", INTERVAL_US, 1, 1, NOW)
    assert read_taken(shard.run(other)) == Taken(1, 0)


def test_rate_take__goes_on_after_the_clock_was_set_back(shard: Shard) -> None:
    """A clock set back by an hour stops the channel for no more than an interval."""
    assert _take(shard, 1) == Taken(1, 0)
    assert _take(shard, 1, -3_600_000) == Taken(0, 100)
    assert _take(shard, 1, -3_600_000 + 100) in (Taken(1, 0), Taken(0, 100))


@pytest.mark.parametrize("foreign", ["list", "text"])
def test_rate_take__replaces_what_another_client_wrote(shard: Shard, foreign: str) -> None:
    """A key with another type, or no number, does not stop the channel."""
    key = shard.keys.rate("push")
    if foreign == "list":
        shard.client.rpush(key, "x")
    else:
        shard.client.set(key, "x")
    assert _take(shard, 1) == Taken(1, 0)
    assert _take(shard, 1) == Taken(0, 100)


def test_rate_take__ends_by_itself(shard: Shard) -> None:
    """The key of a channel that sends nothing expires, not before its burst is full again."""
    _take(shard, 1, burst=20)
    assert 2_000 < shard.client.pttl(shard.keys.rate("push")) <= 3_100
