"""claim on a channel that sends at most once: whatever ends the lease, it may have been sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from galaxy_notify.redis_state import leases
from tests.scripts.support.endings import ENDINGS, end, ending
from tests.scripts.support.injection import refuse_on
from tests.scripts.support.shard import LIMITS, MINE, NOW, TTL, Shard

ONCE = replace(LIMITS, at_most_once=True)
OTHER = f"host-2-ffff:0:{TTL}:1"


def _claimed(shard: Shard, token: str = MINE, members: int = 256) -> dict[str, int]:
    """Claim at most once; return how often each member was abandoned."""
    claim = shard.claim(token, limits=replace(ONCE, members=members))
    return {claimed.member.decode(): claimed.abandoned for claimed in claim.members}


def test_claim__marks_what_may_be_sent_from_now_on(shard: Shard) -> None:
    """The worker is told that nobody had it before, and everybody else that somebody has."""
    (member,) = shard.accept(1)
    assert _claimed(shard) == {member: 0}
    assert shard.counts() == {member: 1}
    assert shard.total("abandoned") == 0


def test_claim__asked_again_tells_the_same(shard: Shard) -> None:
    """A lost answer is no abandoned lease."""
    (member,) = shard.accept(1)
    assert _claimed(shard) == _claimed(shard) == {member: 0}
    assert shard.counts() == {member: 1}


def test_claim__asked_again_for_fewer_takes_the_mark_back(shard: Shard) -> None:
    """What is released there was not sent."""
    for number in (1, 2, 3):
        shard.accept(number)
    every = _claimed(shard)
    few = _claimed(shard, members=1)
    left = every.keys() - few.keys()
    assert len(left) == 2
    assert _claimed(shard, OTHER) == dict.fromkeys(left, 0)


@pytest.mark.parametrize("word", ENDINGS[:-1])
def test_outcome__takes_the_mark_back(word: str, shard: Shard) -> None:
    """It is known what became of it."""
    (member,) = shard.accept(1)
    _claimed(shard)
    end(shard, ending(shard, word, member))
    assert shard.counts() == {}


def _lapses(shard: Shard, _: str) -> None:
    shard.now += TTL + 1


def _is_moved(shard: Shard, member: str) -> None:
    shard.run(shard.rescheduling(member, due=NOW + 10))
    shard.now += 10


def _is_repaired(shard: Shard, member: str) -> None:
    shard.client.zadd(shard.keys.schedule("push"), {member: shard.now})


@pytest.mark.parametrize("ends", [_lapses, _is_moved, _is_repaired])
def test_lease__that_ends_without_an_outcome_is_known(
    ends: Callable[[Shard, str], None], shard: Shard
) -> None:
    """Its worker died, somebody gave it another time, or its place was repaired."""
    (member,) = shard.accept(1)
    _claimed(shard)
    ends(shard, member)
    assert _claimed(shard, OTHER)[member] >= 1


def test_suspects__are_told_by_what_was_abandoned(shard: Shard) -> None:
    """The mark makes no suspect: a route left behind once is still found by any claim."""
    (member,) = shard.accept(1)
    _claimed(shard)
    shard.now += TTL + 1
    assert _claimed(shard, OTHER) == {member: 2}
    shard.now += TTL + 1
    claim = shard.claim(f"{OTHER}2", limits=ONCE)
    assert (claim.members, claim.suspects) == ((), 1)


def test_mark__that_is_refused_claims_nothing(shard: Shard) -> None:
    """Nothing may be sent that would not be known as sent."""
    (member,) = shard.accept(1)
    call = leases.route_claim(shard.keys, "push", MINE, ONCE, alone=False, now=shard.now)
    assert refuse_on(shard, call, "HSET", shard.keys.abandoned("push")).failed
    assert (shard.leases(), shard.schedule()) == ({}, {member: NOW})
    assert not shard.client.exists(shard.keys.leases("push"))
