"""reposition and shorten: what stands at a wrong place, or is held too long, is put right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.leases import Correction
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import LIMITS, MINE, NOW, TTL, Shard
from tests.scripts.support.snapshot import snapshot

SECOND = f"host-2-ffff:0:{TTL}:1"


def _lapse(shard: Shard) -> int:
    return int(shard.run(calls.lease_shorten(shard.keys, "push")))


def test_heal__returns_a_dead_letter_to_the_dead(shard: Shard) -> None:
    """A dead letter that stands in the schedule leaves it; when it died stays."""
    member = SEEDS["dead_letter"](shard, 1)
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    shard.now += 50
    shard.claim()
    assert shard.reposition(Correction(member.encode(), "dead:push", NOW + 7)) == ["repositioned"]
    assert shard.dead() == {member: NOW}
    assert not shard.schedule()
    assert not shard.leases()
    assert_counted(shard)


def test_heal__moves_a_route_to_its_own_channel(shard: Shard) -> None:
    """A member in another channel's schedule goes to its own."""
    (member,) = shard.accept(1, "email:u1")
    shard.client.zrem(shard.keys.schedule("email"), member)
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    shard.claim()
    assert shard.reposition(Correction(member.encode(), "schedule:email", NOW)) == ["repositioned"]
    assert shard.schedule("email") == {member: NOW}
    assert not shard.schedule()
    assert not shard.leases()


def test_heal__does_not_bring_another_lease_forward(shard: Shard) -> None:
    """A route that is leased in its own channel stays so when a copy elsewhere is healed."""
    (member,) = shard.accept(1, "email:u1")
    shard.claim(SECOND, channel="email")
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    shard.claim()
    assert shard.reposition(Correction(member.encode(), "schedule:email", NOW)) == ["repositioned"]
    assert shard.schedule("email") == {member: NOW + TTL}
    assert member in shard.leases("email")


def test_heal__puts_off_what_is_not_due_yet(shard: Shard) -> None:
    """A member that stands too early waits for the due time of its state."""
    (member,) = shard.accept(1, due=NOW + 9_000)
    shard.client.zadd(shard.keys.schedule("push"), {member: 0})
    shard.claim()
    assert shard.reposition(Correction(member.encode(), "schedule:push", NOW + 9_000)) == [
        "repositioned"
    ]
    assert shard.schedule() == {member: NOW + 9_000}
    assert not shard.leases()


def test_heal__schedules_nothing_that_has_left(shard: Shard) -> None:
    """Putting off what is not in the schedule any more does not bring it back."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.client.zrem(shard.keys.schedule("push"), member)
    shard.reposition(Correction(member.encode(), "schedule:push", NOW))
    assert not shard.schedule()


def test_heal__twice_is_stale(shard: Shard) -> None:
    """The same call sent again changes nothing."""
    member = SEEDS["dead_letter"](shard, 1)
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    shard.claim()
    correction = Correction(member.encode(), "dead:push", NOW)
    shard.reposition(correction)
    before = snapshot(shard)
    assert shard.reposition(correction) == ["stale"]
    assert snapshot(shard) == before


@pytest.mark.parametrize(("set_back", "shortened"), [(0, 0), (1, 1), (10**9, 1)])
def test_lapse__shortens_what_is_held_too_long(set_back: int, shortened: int, shard: Shard) -> None:
    """After a clock was set back, no lease lasts longer than it may; the fraction is its name."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.now -= set_back
    assert _lapse(shard) == shortened
    assert shard.schedule() == {member: NOW + TTL - (set_back if shortened else 0)}
    assert shard.leases() == {member: MINE}


def test_lapse__leaves_the_lease_to_its_holder(shard: Shard) -> None:
    """Whoever holds the lease may still settle, until another worker takes it."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.now -= 3_600_000
    assert _lapse(shard) == 1
    assert shard.words(publishing(shard, member)) == ["published"]
    assert_counted(shard)


def test_lapse__makes_it_due_to_others_in_time(shard: Shard) -> None:
    """A holder that died is not waited for longer than a lease lasts."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.now -= 3_600_000
    _lapse(shard)
    shard.now += TTL + 1
    assert [m.member.decode() for m in shard.claim(SECOND).members] == [member]


def test_lapse__leaves_what_waits(shard: Shard) -> None:
    """A route that nobody holds waits for its due time, however far away."""
    shard.accept(1, due=NOW + 10**10)
    before = snapshot(shard)
    assert _lapse(shard) == 0
    assert snapshot(shard) == before


def test_lapse__leaves_a_lease_whose_length_nobody_knows(shard: Shard) -> None:
    """A token of another kind says nothing about how long it may last."""
    (member,) = shard.accept(1)
    shard.claim("mine")
    shard.now -= 3_600_000
    assert _lapse(shard) == 0
    assert shard.leases() == {member: "mine"}


def test_lapse__tells_leases_apart(shard: Shard) -> None:
    """Leases that come to lapse in the same millisecond stay two."""
    for number in range(300):
        shard.accept(number)
    assert len(shard.claim().members) + len(shard.claim(SECOND).members) == 300
    shard.now -= 3_600_000
    assert _lapse(shard) == 2
    assert sorted(shard.leases().values()) == [MINE] * 256 + [SECOND] * 44
    assert_consistent(shard)


def test_lapse__finds_what_is_held_too_long_beside_many(shard: Shard) -> None:
    """The leases of the living, however many, do not hide that of a worker that is gone."""
    (gone,) = shard.accept(1)
    shard.claim()
    shard.now -= 3_600_000
    few = replace(LIMITS, members=1)
    for number in range(100):
        shard.accept(100 + number)
        assert shard.claim(f"host-3-aaaa:{number}:{TTL}:1", limits=few).members
    assert _lapse(shard) == 1
    assert shard.schedule()[gone] <= shard.now + TTL


def test_lapse__shares_no_time_with_what_was_left_behind(shard: Shard) -> None:
    """A lease that is shortened does not take in what an ended one left behind."""
    first, left = shard.accept(1, "push:u1", "push:u2")
    shard.claim()
    shard.now += TTL
    shard.claim(SECOND, limits=replace(LIMITS, members=1))
    shard.now -= TTL
    assert _lapse(shard) == 1
    assert shard.leases() == {first: SECOND}
    assert left in shard.schedule()
