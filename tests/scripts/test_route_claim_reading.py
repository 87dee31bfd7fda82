"""claim reads each member for itself: what is wrong with one is said of that one alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.redis_state.leases import Claim
from tests.scripts.support.shard import LIMITS, MINE, TTL, Shard, new
from tests.scripts.support.snapshot import snapshot

_BIG = 1_000_000
OTHER = f"host-2-ffff:0:{TTL}:1"


def _vanish(shard: Shard, member: str) -> None:
    shard.client.delete(shard.hash_of(member))


def _lose_record(shard: Shard, member: str) -> None:
    shard.client.hdel(shard.hash_of(member), "record")


def _lose_state(shard: Shard, member: str) -> None:
    shard.client.hdel(shard.hash_of(member), "push:u1")


def _become_foreign(shard: Shard, member: str) -> None:
    shard.client.delete(shard.hash_of(member))
    shard.client.set(shard.hash_of(member), "foreign")


def _bloat(shard: Shard, member: str) -> None:
    shard.client.hset(shard.hash_of(member), "push:u1", "1p" + "x" * 65_536)


def _outgrow(shard: Shard, member: str) -> None:
    shard.client.hset(shard.hash_of(member), "record", "x" * (LIMITS.record_bytes + 1))


#: Verdict, what leads to it, and whether the state is answered beside it.
_UNUSABLE: list[tuple[str, Callable[[Shard, str], None], bool]] = [
    ("vanished", _vanish, False),
    ("missing", _lose_record, True),
    ("missing", _lose_state, False),
    ("wrong_type", _become_foreign, False),
    ("bloated", _bloat, False),
    ("oversized", _outgrow, True),
]


def _verdicts(claim: Claim) -> dict[str, str]:
    return {member.member.decode(): member.verdict for member in claim.members}


@pytest.mark.parametrize(("verdict", "spoil", "told"), _UNUSABLE)
def test_claim__says_what_is_wrong_with_one(
    verdict: str, spoil: Callable[[Shard, str], None], told: bool, shard: Shard
) -> None:
    """A member that cannot be used is named with the reason; its neighbours are read."""
    first, broken, last = (shard.accept(number)[0] for number in (1, 2, 3))
    state = shard.state(broken)
    spoil(shard, broken)
    claim = shard.claim()
    assert _verdicts(claim) == {first: "", broken: verdict, last: ""}
    assert {first[:32].encode(), last[:32].encode()} <= set(claim.records)
    assert verdict != "oversized" or broken[:32].encode() not in claim.records
    found = next(m.state for m in claim.members if m.member.decode() == broken)
    assert found == (state if told else b"")
    assert shard.leases().keys() == {first, broken, last}


@pytest.mark.parametrize("member", ["", "/", "no-slash", "a/b", "\x00/\xff", "%d/%s:", "x" * 4096])
def test_claim__names_members_that_nobody_wrote(member: str, shard: Shard) -> None:
    """Whatever stands in the schedule is answered, as vanished, and holds nobody up."""
    (good,) = shard.accept(1)
    shard.client.zadd(shard.keys.schedule("push"), {member: 1})
    assert _verdicts(shard.claim()) == {member: "vanished", good: ""}


def test_claim__knows_the_limit_of_a_record_to_the_byte(shard: Shard) -> None:
    """A record as large as allowed is read."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.hash_of(member), "record", "x" * LIMITS.record_bytes)
    assert _verdicts(shard.claim()) == {member: ""}


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_claim__knows_the_limit_of_a_state_to_the_byte(size: int, shard: Shard) -> None:
    """A state as large as may be is answered, a larger one is not."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.hash_of(member), "push:u1", "x" * size)
    assert _verdicts(shard.claim()) == {member: "" if size == 65_536 else "bloated"}


@pytest.mark.parametrize(("budget", "taken"), [(1, 1), (2 * _BIG, 1), (3 * _BIG, 2)])
def test_claim__keeps_to_its_bytes(budget: int, taken: int, shard: Shard) -> None:
    """A claim answers no more bytes than asked for, but one member at least."""
    for number in range(1, 5):
        shard.answers(new(number, filler=_BIG))
    members = list(shard.schedule())
    before = snapshot(shard)
    limits = replace(LIMITS, bytes=budget, record_bytes=2 * _BIG)
    claim = shard.claim(limits=limits)
    assert list(_verdicts(claim)) == members[:taken]
    assert len(claim.records) == taken
    assert shard.leases().keys() == set(members[:taken])
    assert all(shard.schedule()[member] == shard.now for member in members[taken:])
    assert before.keys() < snapshot(shard).keys()


def test_claim__counts_a_shared_record_once(shard: Shard) -> None:
    """Routes of one notification share its record, in the answer and in the budget."""
    routes = [f"push:user-{n:03d}" for n in range(100)]
    shard.answers(new(1, routes, filler=_BIG))
    limits = replace(LIMITS, bytes=2 * _BIG, record_bytes=2 * _BIG)
    claim = shard.claim(limits=limits)
    assert len(claim.members) == 100
    assert len(claim.records) == 1


def test_claim__counts_the_bytes_of_states(shard: Shard) -> None:
    """States count too: many long histories do not make an answer without bounds."""
    shard.answers(new(1, [f"push:user-{n}" for n in range(8)]))
    for member in shard.schedule():
        shard.client.hset(shard.hash_of(member), member[33:], "1p" + "x" * 60_000)
    claim = shard.claim(limits=replace(LIMITS, bytes=200_000))
    assert len(claim.members) == len(shard.leases()) == 3


@pytest.mark.parametrize("asked", [256, 257, 100_000])
def test_claim__takes_256_at_most(asked: int, shard: Shard) -> None:
    """However many are asked for, a call stays short."""
    shard.answers(new(1, [f"push:user-{n:03d}" for n in range(300)]))
    assert len(shard.claim(limits=replace(LIMITS, members=asked)).members) == 256


@pytest.mark.parametrize("asked", [0, -1])
def test_claim__takes_one_at_least(asked: int, shard: Shard) -> None:
    """A limit that makes no sense does not mean all."""
    shard.accept(1, "push:u1", "push:u2")
    assert len(shard.claim(limits=replace(LIMITS, members=asked)).members) == 1


def test_claim__counts_from_none_what_nobody_could_have_counted(shard: Shard) -> None:
    """A count that cannot be read is none; the next one is written over it."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.keys.abandoned("push"), member, "rubbish")
    assert [m.abandoned for m in shard.claim().members] == [0]
    assert shard.leases() == {member: MINE}
    shard.now += TTL
    assert [m.abandoned for m in shard.claim(f"host-2-ffff:0:{TTL}:1").members] == [1]


def test_claim__reads_an_oversized_record_once(shard: Shard) -> None:
    """However many routes it has, what is not answered is not read again, and counts."""
    shard.answers(new(1, [f"push:user-{n}" for n in range(20)]), new(2))
    first, *_, other = shard.schedule()
    shard.client.hset(shard.hash_of(first), "record", "x" * _BIG)
    shard.client.config_resetstat()
    claim = shard.claim(limits=replace(LIMITS, bytes=2 * _BIG))
    assert set(_verdicts(claim).values()) == {"", "oversized"}
    stats: Any = shard.client.info("commandstats")
    assert stats["cmdstat_hmget"]["calls"] == 2
    assert _verdicts(claim)[other] == ""
    assert len(shard.claim(OTHER, limits=replace(LIMITS, bytes=_BIG // 2)).members) == 0


@pytest.mark.parametrize(("word", "spoil"), [("oversized", _outgrow), ("bloated", _bloat)])
def test_claim__reads_one_oversized_thing_at_most(
    word: str, spoil: Callable[[Shard, str], None], shard: Shard
) -> None:
    """Many things that are too large cost one reading and leave all the room to the others."""
    for number in range(1, 5):
        (member,) = shard.accept(number)
        spoil(shard, member)
    shard.accept(5)
    shard.client.config_resetstat()
    assert list(_verdicts(shard.claim()).values()) == [*[word] * 4, ""]
    stats: Any = shard.client.info("commandstats")
    assert stats["cmdstat_hmget"]["calls"] == 2
