"""collapse: which notification is the newest of a key, and which one it comes after."""

from __future__ import annotations

from galaxy_notify.redis_state.reservations import Newest, collapse, collapsed
from tests.lua.support.shard import Shard
from tests.lua.support.snapshot import snapshot

KEEP = 60_000
IDS = [f"{number:032x}" for number in range(30)]


def note(shard: Shard, made: str, user: str = "u1") -> Newest:
    """Note a notification as the newest."""
    (newest,) = collapsed(shard.run(collapse(shard.keys, "ab", KEEP, [(user, made)])), 1)
    return newest


def test_collapse__tells_what_came_before(shard: Shard) -> None:
    """The first comes after nothing, each other one after the one before it."""
    assert note(shard, IDS[1]) == Newest(IDS[1], "")
    assert note(shard, IDS[2]) == Newest(IDS[2], IDS[1])
    assert note(shard, IDS[3], user="u2") == Newest(IDS[3], "")
    assert 0 < int(str(shard.client.pttl(shard.keys.newest("ab", "u1")))) <= KEEP


def test_collapse__asked_again_says_the_same(shard: Shard) -> None:
    """A repeat tells the same, also when others have come since: it is no newer for that."""
    for made in IDS[1:4]:
        note(shard, made)
    before = snapshot(shard)
    assert note(shard, IDS[3]) == Newest(IDS[3], IDS[2])
    assert note(shard, IDS[2]) == Newest(IDS[3], IDS[1])
    assert note(shard, IDS[1]) == Newest(IDS[3], "")
    assert snapshot(shard) == before


def test_collapse__remembers_a_bounded_number(shard: Shard) -> None:
    """However many follow each other, what is kept of them is short."""
    for before, made in zip(["", *IDS], IDS, strict=False):
        assert note(shard, made) == Newest(made, before)
    value = shard.client.get(shard.keys.newest("ab", "u1"))
    assert isinstance(value, bytes)
    assert len(value) <= 640
    assert note(shard, IDS[20]) == Newest(IDS[-1], IDS[19])


def test_collapse__leaves_a_key_of_another_type_alone(shard: Shard) -> None:
    """Whoever meets it is the newest, after nobody."""
    shard.client.hset(shard.keys.newest("ab", "u1"), "foreign", "1")
    before = snapshot(shard)
    assert note(shard, IDS[1]) == Newest(IDS[1], "")
    assert snapshot(shard) == before
