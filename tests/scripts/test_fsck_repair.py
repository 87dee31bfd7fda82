"""mend, recount and balance: what they put right, and that they write nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.fsck.notifications import SeenNotification, fsck_recount, fsck_totals
from galaxy_notify.fsck.routes import SeenRoute, Wanted, fsck_repair
from galaxy_notify.model.route import Status
from galaxy_notify.redis_state.calls import words
from tests.scripts.support.faults import ACTOR, counted, faults_of, seen_of
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import KEEP, MINE, NOW, Shard, split
from tests.scripts.support.snapshot import snapshot

ROUTE = "push:u1"


def run(shard: Shard, *items: tuple[SeenRoute, Wanted], fix: bool = True) -> list[str]:
    """Run mend."""
    return words(shard.run(fsck_repair(shard.keys, items, fix=fix)))


def unscheduled(shard: Shard) -> tuple[str, tuple[SeenRoute, Wanted]]:
    """Take a pending route off the schedule; return it with what would mend it."""
    (member,) = shard.accept(1, due=NOW + 5_000)
    shard.client.zrem(shard.keys.schedule("push"), member)
    (item,) = faults_of(shard, member)
    return member, item


def test_mend__puts_a_route_back_once(shard: Shard) -> None:
    """It is scheduled and a worker woken; the same call again finds it moved."""
    member, item = unscheduled(shard)
    shard.client.delete(shard.keys.wake("push"))
    assert run(shard, item) == ["repaired"]
    assert shard.schedule() == {member: NOW + 5_000}
    assert shard.client.llen(shard.keys.wake("push")) == 1
    before = snapshot(shard)
    assert run(shard, item) == ["moved"]
    assert snapshot(shard) == before


def test_mend__only_looks_unless_asked_to_write(shard: Shard) -> None:
    """Looking tells what is still so, and writes nothing."""
    _, item = unscheduled(shard)
    before = snapshot(shard)
    assert run(shard, item, fix=False) == ["found"]
    assert snapshot(shard) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda seen: replace(seen, score=float(NOW)),
        lambda seen: replace(seen, count=b"1"),
        lambda seen: replace(seen, died=float(NOW)),
        lambda seen: replace(seen, record=False),
        lambda seen: replace(seen, state=seen.state + b"x"),
        lambda seen: replace(seen, state=b""),
    ],
    ids=["score", "count", "died", "record", "state", "no state"],
)
def test_mend__leaves_what_is_not_as_it_was_read(
    change: Callable[[SeenRoute], SeenRoute], shard: Shard
) -> None:
    """Whatever differs from what was read, the route is left to whoever moved it."""
    _, (seen, wanted) = unscheduled(shard)
    before = snapshot(shard)
    assert run(shard, (change(seen), wanted)) == ["moved"]
    assert snapshot(shard) == before


@pytest.mark.parametrize("state", sorted(set(SEEDS) - {"vanished"}))
def test_mend__finds_a_route_of_any_state_as_it_is(state: str, shard: Shard) -> None:
    """What is compared is what is stored, in every state; a score of a lease counts as read."""
    member = SEEDS[state](shard, 1)
    (seen,) = seen_of(shard, member)
    before = snapshot(shard)
    assert run(shard, (seen, Wanted()), fix=False) == ["found"]
    assert snapshot(shard) == before


def test_mend__ends_the_lease_of_what_it_moves(shard: Shard) -> None:
    """A worker that still holds a dead letter's lease cannot settle it any more."""
    member = SEEDS["dead_letter"](shard, 1)
    shard.lease(member, MINE, NOW - 1)
    shard.client.hset(shard.keys.abandoned("push"), member, 1)
    assert run(shard, *faults_of(shard, member)) == ["repaired"]
    assert (shard.schedule(), shard.counts(), shard.dead()) == ({}, {}, {member: NOW})
    assert shard.words(publishing(shard, member)) == ["stale"]


def test_mend__makes_a_lease_that_lasts_too_long_due(shard: Shard) -> None:
    """That ends the lease; how often it was left behind is not forgotten."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.keys.abandoned("push"), member, 1)
    shard.lease(member, MINE, NOW + 10**9)
    assert run(shard, *faults_of(shard, member)) == ["repaired"]
    assert (shard.schedule(), shard.leases()) == ({member: NOW}, {})
    assert shard.counts() == {member: 1}


def test_mend__buries_what_has_no_record(shard: Shard) -> None:
    """Its state is written with the time of the burial, which is that of the index, too."""
    (member,) = shard.accept(1)
    shard.client.hdel(shard.hash_of(member), "record")
    shard.now += 7
    assert run(shard, *faults_of(shard, member)) == ["repaired"]
    route = shard.route(member)
    assert (route.status, route.at_ms) == (Status.DEAD_LETTER, NOW + 7)
    assert route.history[-1].worker == ACTOR
    assert (shard.dead(), shard.schedule()) == ({member: NOW + 7}, {})
    assert shard.total("dead_lettered") == 1


def test_mend__leaves_an_index_of_another_channel_as_it_stands(shard: Shard) -> None:
    """A route that stands twice keeps its place, and its lease, in its own channel."""
    (member,) = shard.accept(1, "email:u1")
    assert shard.claim(channel="email").members
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    own = shard.schedule("email")
    assert run(shard, *faults_of(shard, member)) == ["repaired"]
    assert (shard.schedule("push"), shard.schedule("email")) == ({}, own)
    assert set(shard.leases("email")) == {member}


def test_mend__is_refused_where_a_key_is_foreign(shard: Shard) -> None:
    """Nothing leaves an index while the one it belongs to cannot take it."""
    (member,) = shard.accept(1, "email:u1")
    shard.client.delete(shard.keys.schedule("email"))
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    items = faults_of(shard, member)
    shard.client.set(shard.keys.schedule("email"), "foreign")
    before = snapshot(shard)
    assert run(shard, *items) == ["fault"]
    assert snapshot(shard) == before


def recounted(shard: Shard, *seen: SeenNotification, fix: bool = True) -> list[str]:
    """Run recount."""
    return words(shard.run(fsck_recount(shard.keys, seen, KEEP, fix=fix)))


def test_recount__counts_and_keeps(shard: Shard) -> None:
    """Too many, too few, a TTL too early, and none at all: each is put right once."""
    many, soon, endless = (shard.accept(number, ROUTE, "push:u2")[0] for number in (1, 2, 3))
    shard.client.hset(shard.hash_of(many), "open", 9)
    shard.client.hset(shard.hash_of(soon), "open", 0)
    shard.client.pexpire(shard.hash_of(soon), 10**9)
    shard.cancel(endless, endless.replace("u1", "u2"))
    shard.client.persist(shard.hash_of(endless))
    seen = counted(shard, *(split(member)[0] for member in (many, soon, endless)))
    before = snapshot(shard)
    assert recounted(shard, *seen, fix=False) == ["found"] * 3
    assert snapshot(shard) == before
    assert recounted(shard, *seen) == ["repaired"] * 3
    assert [shard.open(member) for member in (many, soon, endless)] == [2, 2, 0]
    ttls: list[Any] = [shard.client.pttl(shard.hash_of(m)) for m in (many, soon, endless)]
    assert ttls[:2] == [-1, -1]
    assert 0 < ttls[2] <= KEEP
    after = snapshot(shard)
    assert recounted(shard, *seen) == ["moved"] * 3
    assert snapshot(shard) == after


@pytest.mark.parametrize("change", ["open", "ttl_ms", "states", "vanished"])
def test_recount__leaves_what_is_not_as_it_was_read(change: str, shard: Shard) -> None:
    """A notification that changed since it was read is left as it is."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.hash_of(member), "open", 9)
    (seen,) = counted(shard, split(member)[0])
    others: dict[str, dict[str, Any]] = {
        "open": {"open": b"8"},
        "ttl_ms": {"ttl_ms": 5},
        "states": {"states": {}},
    }
    if change == "vanished":
        shard.client.delete(shard.hash_of(member))
    before = snapshot(shard)
    assert recounted(shard, replace(seen, **others.get(change, {}))) == ["moved"]
    assert snapshot(shard) == before


@pytest.mark.parametrize(("field", "by"), [("accepted", 3), ("published", 2)])
def test_balance__makes_the_totals_even(field: str, by: int, shard: Shard) -> None:
    """What is missing counts as purged, what is too many as accepted; once, and only as read."""
    shard.accept(1)
    SEEDS["dead_letter"](shard, 2)
    channels = ("push", "email")
    assert shard.run(fsck_totals(shard.keys, channels, None)) == [b"even", 0]
    shard.client.hincrby(shard.keys.totals, field, by)
    difference = by if field == "accepted" else -by
    assert shard.run(fsck_totals(shard.keys, channels, None)) == [b"found", difference]
    assert shard.run(fsck_totals(shard.keys, channels, 99)) == [b"moved", difference]
    assert shard.run(fsck_totals(shard.keys, channels, difference)) == [b"repaired", difference]
    assert shard.run(fsck_totals(shard.keys, channels, difference)) == [b"even", 0]
    assert shard.total("purged" if difference > 0 else "accepted") >= by
