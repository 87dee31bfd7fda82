"""settle: each lease ends with one outcome, answered in order."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_state.settlement import Drop, Release, Settlement
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.outcomes import OUTCOMES, outcome, publishing
from tests.scripts.support.shard import LIMITS, NOW, Shard
from tests.scripts.support.snapshot import snapshot


def _leased(shard: Shard, *routes: str) -> list[str]:
    shard.claims += 1
    members = shard.accept(shard.claims, *routes)
    assert len(shard.claim().members) == len(members)
    return members


def test_retry__schedules_another_attempt(shard: Shard) -> None:
    """The route is failed, and due after the delay by the clock of Redis."""
    (member,) = _leased(shard)
    assert shard.settle(outcome(shard, "retry", member)) == [("retried", str(NOW + 5_000))]
    route = shard.route(member)
    assert (route.status, route.attempts) == (Status.FAILED, 1)
    assert route.due_at_ms == shard.schedule()[member] == NOW + 5_000
    assert shard.leases() == {}
    assert shard.open(member) == 1
    assert shard.total("retried") == 1


def test_bury__lays_it_to_rest(shard: Shard) -> None:
    """A dead letter leaves the schedule, and keeps its record."""
    (member,) = _leased(shard)
    assert shard.words(outcome(shard, "bury", member)) == ["buried"]
    assert shard.route(member).status is Status.DEAD_LETTER
    assert shard.dead() == {member: NOW}
    assert shard.total("dead_lettered") == 1
    assert not shard.schedule()
    assert not shard.leases()
    assert shard.open(member) == 1
    assert shard.client.pttl(shard.hash_of(member)) == -1
    assert_counted(shard)


def test_bury__of_a_route_without_a_state_gives_it_one(shard: Shard) -> None:
    """A route whose state is missing becomes a dead letter that can be shown and purged."""
    (member,) = _leased(shard)
    shard.client.hdel(shard.hash_of(member), "push:u1")
    assert shard.words(outcome(shard, "bury", member)) == ["buried"]
    assert_counted(shard)


def test_expire__ends_it(shard: Shard) -> None:
    """An expired route is final; its notification goes in time."""
    (member,) = _leased(shard)
    assert shard.words(outcome(shard, "expire", member)) == ["expired"]
    assert shard.route(member).status is Status.EXPIRED
    assert not shard.schedule()
    assert not shard.leases()
    assert shard.client.pttl(shard.hash_of(member)) > 0
    assert_counted(shard)


@pytest.mark.parametrize("delay", [0, 700])
def test_release__gives_it_back_untouched(delay: int, shard: Shard) -> None:
    """A released route is due again, as it was; that it was leased counts for nothing."""
    (member,) = _leased(shard)
    state = shard.state(member)
    settlement = Settlement()
    settlement.add(Release(member.encode(), delay))
    assert shard.words(settlement) == ["released"]
    assert shard.state(member) == state
    assert shard.schedule() == {member: NOW + delay}
    assert shard.leases() == {}


@pytest.mark.parametrize(
    ("reason", "purged"), [("final", 0), ("malformed", 0), ("record_missing", 1)]
)
def test_drop__moves_it_to_the_orphans(reason: str, purged: int, shard: Shard) -> None:
    """What cannot be used leaves the schedule, and the orphans say why."""
    (member,) = _leased(shard)
    settlement = Settlement()
    settlement.add(Drop(member.encode(), reason))
    assert shard.settle(settlement) == [("dropped", reason)]
    ((_, row),) = list_of(shard.client.xrange(shard.keys.orphans))
    assert row == {b"member": member.encode(), b"reason": reason.encode()}
    assert not shard.schedule()
    assert not shard.leases()
    assert (shard.total("orphaned"), shard.total("purged")) == (1, purged)


def list_of(rows: Any) -> list[Any]:
    """Return what a client answered as a list."""
    return list(rows)


def test_settle__answers_in_order(shard: Shard) -> None:
    """Every member has one answer at its place, whatever became of its neighbours."""
    members = [shard.accept(number)[0] for number in range(1, 8)]
    shard.claim()
    settlement = Settlement()
    for word, member in zip(OUTCOMES, members, strict=False):
        outcome(shard, word, member, settlement)
    publishing(shard, members[6], "0" * 31 + "f/push:u1", settlement=settlement)
    words = dict(zip(settlement.members, shard.words(settlement), strict=True))
    told = ["published", "retried", "buried", "expired", "released", "dropped", "published"]
    assert words == dict(zip((m.encode() for m in members), told, strict=True)) | {
        b"0" * 31 + b"f/push:u1": "stale"
    }


def test_settle__twice_finds_everything_stale(shard: Shard) -> None:
    """The same call sent again, whenever it comes, changes nothing."""
    members = [shard.accept(number)[0] for number in range(1, 7)]
    shard.claim()
    settlement = Settlement()
    for word, member in zip(OUTCOMES, members, strict=True):
        outcome(shard, word, member, settlement)
    assert "stale" not in shard.words(settlement)
    before = snapshot(shard)
    assert shard.words(settlement) == ["stale"] * 6
    assert snapshot(shard) == before


def test_settle__after_another_worker_took_over_is_stale(shard: Shard) -> None:
    """A worker that slept past its lease publishes nothing."""
    (member,) = shard.accept(1)
    shard.claim()
    settlement = publishing(shard, member)
    shard.now += LIMITS.ttl_ms
    shard.claim("host-2-ffff:0:1")
    before = snapshot(shard)
    assert shard.words(settlement) == ["stale"]
    assert snapshot(shard) == before


@pytest.mark.parametrize("word", ["publish", "retry", "bury", "expire"])
@pytest.mark.parametrize("routes", [("push:u1",), ("push:u1", "push:u2")])
def test_settle__of_a_vanished_notification(
    routes: tuple[str, ...], word: str, shard: Shard
) -> None:
    """Nothing is in the stream, nothing is created, the member goes to the orphans, counted."""
    members = _leased(shard, *routes)
    settlement = Settlement()
    for member in members:
        outcome(shard, word, member, settlement)
    shard.client.delete(shard.hash_of(members[0]))
    assert set(shard.words(settlement)) == {"missing"}
    assert shard.events() == []
    assert not shard.client.exists(shard.hash_of(members[0]))
    assert not shard.schedule() | shard.dead()
    assert not shard.leases()
    assert shard.client.xlen(shard.keys.orphans) == len(routes)
    assert shard.total("undone") == (len(routes) if word == "publish" else 0)
    assert_counted(shard)


@pytest.mark.parametrize("word", ["publish", "retry", "bury", "expire"])
def test_settle__of_a_foreign_key_is_a_fault_of_that_item(word: str, shard: Shard) -> None:
    """A state that cannot be written takes its event back; the neighbours are settled."""
    broken, good = (shard.accept(number)[0] for number in (1, 2))
    shard.claim()
    settlement = outcome(shard, word, good, outcome(shard, word, broken))
    shard.client.delete(shard.hash_of(broken))
    shard.client.set(shard.hash_of(broken), "foreign")
    first, second = shard.settle(settlement)
    assert first.word == "fault"
    assert "WRONGTYPE" in first.detail
    assert second.word not in ("fault", "stale")
    assert_consistent(shard)
    assert broken in shard.schedule()


def test_settle__tells_the_length_of_the_stream(shard: Shard) -> None:
    """The worker learns when to call for the janitor."""
    members = _leased(shard, "push:u1", "push:u2")
    assert shard.settled(publishing(shard, *members)).stream_length == 2


def test_settle__forgets_a_cancelled_route(shard: Shard) -> None:
    """Cancel wins until the event is in the stream."""
    (member,) = _leased(shard)
    settlement = publishing(shard, member)
    assert shard.cancel(member) == ["known", "cancelled"]
    assert shard.words(settlement) == ["stale"]
    assert shard.events() == []


def test_settle__of_a_claim_that_arrived_twice_takes_no_others(shard: Shard) -> None:
    """A delayed claim may put as many others under its lease: who compares them takes none."""
    (first,) = shard.accept(1)
    shard.claim()
    settlement = publishing(shard, first)
    shard.now += LIMITS.ttl_ms
    other = "host-2-ffff:0:30000:1"
    shard.claim(other)
    assert shard.words(publishing(shard, first), other) == ["published"]
    (second,) = shard.accept(2)
    assert [m.member.decode() for m in shard.claim().members] == [second]
    assert shard.words(settlement) == ["stale"]
    assert len(shard.events()) == 1
