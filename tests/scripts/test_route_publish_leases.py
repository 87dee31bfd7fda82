"""route_publish beside leases: in force, expired, and counted as abandoned."""

from __future__ import annotations

from tests.scripts.support.invariants import assert_at_rest, assert_counted
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.seeds import SEEDS, abandon
from tests.scripts.support.shard import LIMITS, MINE, NOW, Shard
from tests.scripts.support.snapshot import snapshot


def test_publish__leaves_all_while_a_lease_has_expired(shard: Shard) -> None:
    """Its members may be suspects: a claim ends the lease and counts them, also elsewhere."""
    lapsed = SEEDS["lapsed"](shard, 1)
    (fresh,) = shard.accept(2)
    before = snapshot(shard)
    published = shard.publish()
    assert (published.word, published.routes, published.left) == ("published", 0, LIMITS.members)
    assert snapshot(shard) == before
    claim = shard.claim(MINE)
    assert {(m.member.decode(), m.abandoned) for m in claim.members} == {(lapsed, 1), (fresh, 0)}
    assert shard.publish().word == "idle"


def test_publish__leaves_suspects(shard: Shard) -> None:
    """A route that was abandoned twice is claimed alone, whichever call comes first."""
    (member,) = shard.accept(1)
    abandon(shard, 2)
    assert (shard.claim().members, shard.claim().suspects) == ((), 1)
    shard.accept(2)
    published = shard.publish()
    assert (published.routes, published.left) == (1, 1)
    assert shard.counts() == {member: 2}


def test_publish__leaves_a_lease_in_force_to_its_owner(shard: Shard) -> None:
    """What is leased is not due; its owner settles all of its own, and counts them as a whole."""
    held = [shard.accept(number)[0] for number in (1, 2)]
    shard.claim()
    free = [shard.accept(number)[0] for number in (3, 4)]
    leases = shard.leases()
    assert shard.publish().routes == 2
    assert shard.leases() == leases
    assert leases.keys() == set(held)
    call = publishing(shard, *held).call(shard.keys, "push", MINE, claimed=2)
    shard.run(call)
    assert {f["event_id"].decode() for _, f in shard.events()} == {*held, *free}
    assert_counted(shard)
    assert_at_rest(shard)


def test_publish__takes_what_left_its_lease(shard: Shard) -> None:
    """A leased route that is rescheduled is free, and stale for its owner."""
    held = [shard.accept(number)[0] for number in (1, 2)]
    shard.claim()
    settlement = publishing(shard, *held)
    shard.run(shard.rescheduling(held[0], due=NOW))
    assert shard.publish().routes == 1
    assert shard.words(settlement) == ["stale", "published"]
    assert len(shard.events()) == 2
    assert_at_rest(shard)
