"""pause and resume: a channel rests, what is accepted waits, what is leased is settled."""

from __future__ import annotations

from galaxy_notify.redis_state import calls
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot


def _pause(shard: Shard) -> str:
    return str(shard.run(calls.channel_pause(shard.keys, "push")), "ascii")


def _resume(shard: Shard) -> str:
    return str(shard.run(calls.channel_resume(shard.keys, "push")), "ascii")


def test_pause__twice_says_already(shard: Shard) -> None:
    """Pausing what is paused changes nothing."""
    assert _pause(shard) == "paused"
    before = snapshot(shard)
    assert _pause(shard) == "already"
    assert snapshot(shard) == before


def test_pause__keeps_since_when_until_resume(shard: Shard) -> None:
    """The time is the server's, of the first of two pauses."""
    _pause(shard)
    (since,) = shard.client.hvals(shard.keys.pauses)
    assert int(since) > 1_600_000_000_000
    _pause(shard)
    assert shard.client.hgetall(shard.keys.pauses) == {b"push": since}
    _resume(shard)
    assert not shard.client.exists(shard.keys.pauses)


def test_pause__lets_what_is_leased_be_settled(shard: Shard) -> None:
    """A pause stops claiming, not publishing what is under way; routes are accepted."""
    (member,) = shard.accept(1)
    shard.claim()
    _pause(shard)
    shard.accept(2)
    assert shard.words(publishing(shard, member)) == ["published"]
    assert shard.claim("host-2-ffff:0:1").word == "paused"


def test_resume__lets_it_be_claimed_and_wakes(shard: Shard) -> None:
    """What waited meanwhile is claimed, and a worker is told, once."""
    _pause(shard)
    shard.accept(1)
    shard.client.delete(shard.keys.wake("push"))
    assert _resume(shard) == "resumed"
    assert shard.client.llen(shard.keys.wake("push")) == 1
    assert _resume(shard) == "already"
    assert shard.client.llen(shard.keys.wake("push")) == 1
    assert shard.claim().word == "claimed"
