"""collapse: which notification is the newest of a key, and which one it comes after."""

from __future__ import annotations

import pytest

from galaxy_notify.redis_state.reservations import (
    KeptOrder,
    Order,
    collapse_record,
    read_collapse_record,
)
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot

KEEP = 60_000
IDS = [f"{number:032x}" for number in range(30)]


def note(shard: Shard, made: str, user: str = "u1") -> Order:
    """Note a notification as the newest."""
    (newest,) = read_collapse_record(
        shard.run(collapse_record(shard.keys, "ab", KeptOrder(KEEP), [(user, made)])), 1
    )
    return newest


def test_collapse__tells_what_came_before(shard: Shard) -> None:
    """The first comes after nothing, each other one after the one before it."""
    assert note(shard, IDS[1]) == Order()
    assert note(shard, IDS[2]) == Order((), (IDS[1],))
    assert note(shard, IDS[3], user="u2") == Order()
    assert 0 < int(str(shard.client.pttl(shard.keys.newest("ab", "u1")))) <= KEEP


def test_collapse__asked_again_says_the_same(shard: Shard) -> None:
    """A repeat tells the same, also when others have come since: it is no newer for that."""
    for made in IDS[1:4]:
        note(shard, made)
    before = snapshot(shard)
    assert note(shard, IDS[3]) == Order((), (IDS[2], IDS[1]))
    assert note(shard, IDS[2]) == Order((IDS[3],), (IDS[1],))
    assert note(shard, IDS[1]) == Order((IDS[3], IDS[2]))
    assert snapshot(shard) == before


def test_collapse__remembers_a_bounded_number(shard: Shard) -> None:
    """However many follow each other, what is kept of them is short."""
    for number, made in enumerate(IDS):
        before = IDS[max(0, number - 2) : number]
        assert note(shard, made) == Order((), tuple(before[::-1]))
    value = shard.client.get(shard.keys.newest("ab", "u1"))
    assert isinstance(value, bytes)
    assert len(value) <= 640
    assert note(shard, IDS[20]) == Order(tuple(IDS[:20:-1]), (IDS[19], IDS[18]))


def test_collapse__returns_as_many_older_ones_as_asked_for(shard: Shard) -> None:
    """All that are known, where a delayed channel inherits; the newest first."""
    for made in IDS[:6]:
        note(shard, made)
    for most in (1, 4, 64):
        call = collapse_record(shard.keys, "ab", KeptOrder(KEEP, most), [("u1", IDS[5])])
        (order,) = read_collapse_record(shard.run(call), 1)
        assert order.older == tuple(IDS[4::-1][:most])


def test_collapse__tells_of_all_parts_before_and_of_none_of_its_own(shard: Shard) -> None:
    """A user whose channels are in two parts has both of them taken back by the next one."""
    for made in (IDS[1], f"{IDS[1]}.2"):
        assert note(shard, made).older == ()
    assert note(shard, IDS[2]).older == (f"{IDS[1]}.2", IDS[1])
    assert note(shard, f"{IDS[2]}.2").older == (f"{IDS[1]}.2", IDS[1])


def test_collapse__of_a_later_part_is_as_new_as_the_first(shard: Shard) -> None:
    """Two that are noted in turns agree on one order for all of their parts."""
    for made in (IDS[1], IDS[2]):
        note(shard, made)
    assert note(shard, f"{IDS[1]}.2") == Order((IDS[2],))
    assert note(shard, f"{IDS[2]}.2") == Order((), (f"{IDS[1]}.2", IDS[1]))


def test_collapse__only_looked_at_makes_nothing_newer(shard: Shard) -> None:
    """Who looks is told where it stands; what is known no more is older than all."""
    for made in IDS[1:3]:
        note(shard, made)
    before = snapshot(shard)
    items = [("u1", made) for made in IDS[1:4]]
    reply = shard.run(collapse_record(shard.keys, "ab", KeptOrder(KEEP), items, note=False))
    assert read_collapse_record(reply, 3) == [
        Order((IDS[2],)),
        Order((), (IDS[1],)),
        Order((IDS[2], IDS[1])),
    ]
    assert snapshot(shard) == before


@pytest.mark.parametrize("value", [b"", b"foreign", b"0" * 32 + b" \xff", b"\xff\0"])
def test_collapse__leaves_bytes_of_others_alone(value: bytes, shard: Shard) -> None:
    """Whoever meets them is the newest, after nobody."""
    shard.client.set(shard.keys.newest("ab", "u1"), value)
    assert note(shard, IDS[1]) == Order()
    assert shard.client.get(shard.keys.newest("ab", "u1")) == value


def test_collapse__leaves_a_key_of_another_type_alone(shard: Shard) -> None:
    """Whoever meets it is the newest, after nobody."""
    shard.client.hset(shard.keys.newest("ab", "u1"), "foreign", "1")
    before = snapshot(shard)
    assert note(shard, IDS[1]) == Order()
    assert snapshot(shard) == before
