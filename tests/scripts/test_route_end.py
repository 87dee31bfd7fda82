"""route_end: what became of a route of an external channel is recorded once, also at maxmemory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.model.feed import DeliveredVia
from galaxy_notify.model.route import Status
from galaxy_notify.redis_state.deliveries import read_delivery
from galaxy_notify.redis_state.delivery_outcomes import Deliver, read_ended
from galaxy_notify.redis_state.settlement import Drop
from tests.scripts.support.endings import (
    DONE,
    ENDINGS,
    REFUSED,
    deliveries,
    end,
    ending,
    ending_call,
)
from tests.scripts.support.invariants import assert_at_rest, assert_counted
from tests.scripts.support.seeds import OTHER, SEEDS, abandon
from tests.scripts.support.shard import KEEP, MINE, NOW, TTL, Shard, split
from tests.scripts.support.snapshot import snapshot


def _leased(shard: Shard, *routes: str) -> list[str]:
    shard.claims += 1
    members = shard.accept(shard.claims, *routes)
    assert len(shard.claim().members) == len(members)
    return members


def _entry(member: str, outcome: str, reason: str = "", *, at: int = NOW) -> dict[str, str]:
    return {
        "notification_id": split(member)[0],
        "user_id": "u1",
        "channel": "push",
        "outcome": outcome,
        "reason": reason,
        "at_ms": str(at),
    }


@pytest.mark.parametrize(
    ("word", "answer", "status", "totals", "reason"),
    [
        ("deliver", "delivered", Status.DELIVERED, {"published": 1, "delivered": 1}, ""),
        ("skip", "skipped", Status.SKIPPED, {"skipped": 1, "skipped:no_contact": 1}, "no_contact"),
        ("expire", "expired", Status.EXPIRED, {"expired": 1}, ""),
    ],
)
def test_end__is_final(
    word: str, answer: str, status: Status, totals: dict[str, int], reason: str, shard: Shard
) -> None:
    """It leaves every index, its notification goes in time, the feed is told, totals are even."""
    (member,) = _leased(shard)
    assert end(shard, ending(shard, word, member)) == [(answer, "")]
    route = shard.route(member)
    assert (route.status, route.at_ms, route.done) == (status, NOW, ())
    assert (shard.schedule(), shard.leases(), shard.dead()) == ({}, {}, {})
    assert shard.open(member) == 0
    assert 0 < shard.client.pttl(shard.hash_of(member)) <= KEEP
    assert {name: shard.total(name) for name in totals} == totals
    assert deliveries(shard) == [_entry(member, answer, reason)]
    assert shard.events() == []
    assert_at_rest(shard)


@pytest.mark.parametrize(
    ("word", "head"), [("deliver", b"2D"), ("skip", b"1s"), ("expire", b"1e"), ("bury", b"2d")]
)
def test_state__begins_with_2_where_an_earlier_version_must_not_touch_it(
    word: str, head: bytes, shard: Shard
) -> None:
    """What is delivered, or partly, is of format 2; all else an earlier version may read."""
    (member,) = _leased(shard)
    end(shard, ending(shard, word, member))
    assert shard.state(member)[:2] == head


def test_retry__remembers_the_addresses_that_are_done(shard: Shard) -> None:
    """The next attempt knows to whom it was sent, and so does a cancel, a replay, a delivery."""
    (member,) = _leased(shard)
    assert end(shard, ending(shard, "retry", member)) == [("retried", str(NOW + 5_000))]
    route = shard.route(member)
    assert shard.state(member)[:2] == b"2f"
    assert (route.status, route.attempts, route.done) == (Status.FAILED, 1, DONE)
    assert route.failure
    assert route.failure.failure_class == REFUSED.failure_class
    assert shard.schedule() == {member: NOW + 5_000}
    assert (shard.total("retried"), deliveries(shard)) == (1, [])
    shard.now += 5_000
    (claimed,) = shard.claim().members
    assert claimed.state == shard.state(member)
    end(shard, ending(shard, "deliver", member))
    assert [entry["outcome"] for entry in deliveries(shard)] == ["delivered"]
    assert_at_rest(shard)


def test_bury__tells_the_class_and_keeps_what_is_done(shard: Shard) -> None:
    """A dead letter of some addresses is replayed for the others."""
    member = SEEDS["dead letter, partly done"](shard, 1)
    assert shard.dead() == {member: NOW}
    assert shard.route(member).done == DONE
    assert deliveries(shard) == [_entry(member, "dead_letter", REFUSED.failure_class)]
    assert_counted(shard)


def test_bury__of_a_route_without_a_state_gives_it_one(shard: Shard) -> None:
    """A route whose state is missing becomes a dead letter that can be shown and purged."""
    (member,) = _leased(shard)
    given = ending(shard, "bury", member)
    shard.client.hdel(shard.hash_of(member), "push:u1")
    assert end(shard, given) == [("buried", "")]
    assert_counted(shard)


def test_release__changes_nothing_but_when_it_is_due(shard: Shard) -> None:
    """Nothing was sent: no attempt, no entry."""
    (member,) = _leased(shard)
    state = shard.state(member)
    assert end(shard, ending(shard, "release", member)) == [("released", "")]
    assert (shard.state(member), shard.schedule()) == (state, {member: NOW + 2_000})
    assert (shard.leases(), deliveries(shard)) == ({}, [])
    assert not shard.client.exists(shard.keys.leases("push"))


def test_drop__moves_it_to_the_orphans(shard: Shard) -> None:
    """What has no record leaves the schedule."""
    (member,) = _leased(shard)
    shard.client.delete(shard.hash_of(member))
    assert end(shard, Drop(member.encode(), "record_missing")) == [("dropped", "record_missing")]
    assert (shard.total("purged"), shard.total("orphaned")) == (1, 1)
    assert_at_rest(shard)


def test_part__is_told_by_the_id_of_the_receipt(shard: Shard) -> None:
    """The feed has one row for a notification, whatever part the route is of."""
    (member,) = _leased(shard)
    part = split(member)[0] + ".2/push:u1"
    shard.client.rename(shard.hash_of(member), shard.hash_of(part))
    lease = shard.client.zscore(shard.keys.schedule("push"), member)
    assert lease
    shard.client.zadd(shard.keys.schedule("push"), {part: lease})
    assert end(shard, ending(shard, "deliver", part))[0].word == "delivered"
    assert deliveries(shard) == [_entry(member, "delivered")]


def test_missing__is_set_aside(shard: Shard) -> None:
    """A notification that vanished while it was sent is counted, and not made again."""
    (member,) = _leased(shard)
    given = ending(shard, "deliver", member)
    shard.client.delete(shard.hash_of(member))
    assert end(shard, given) == [("missing", "record_missing")]
    assert not shard.client.exists(shard.hash_of(member))
    assert_at_rest(shard)


@pytest.mark.parametrize("word", ENDINGS)
@pytest.mark.parametrize("state", SEEDS)
def test_end__without_the_lease_is_stale(state: str, word: str, shard: Shard) -> None:
    """Whoever does not hold the lease changes nothing, whatever became of the route."""
    member = SEEDS[state](shard, 1)
    given = ending(shard, word, member)
    before = snapshot(shard)
    assert end(shard, given) == [("stale", "")]
    assert snapshot(shard) == before


@pytest.mark.parametrize("word", ENDINGS)
def test_end__sent_again_changes_nothing(word: str, shard: Shard) -> None:
    """A worker that lost the answer sends the call again: it finds its member stale."""
    (member,) = _leased(shard)
    call = ending_call(shard, [ending(shard, word, member)])
    shard.run(call)
    before = snapshot(shard)
    shard.now += 10
    assert [a.word for a in read_ended(shard.run(call), 1).answers] == ["stale"]
    assert snapshot(shard) == before


def test_member__named_twice_ends_once(shard: Shard) -> None:
    """The second of two outcomes of a member is stale."""
    (member,) = _leased(shard)
    both = [ending(shard, word, member) for word in ("deliver", "retry")]
    assert [answer.word for answer in end(shard, *both)] == ["delivered", "stale"]
    assert_at_rest(shard)


def _cancelled(shard: Shard, member: str) -> None:
    shard.cancel(member)


def _moved(shard: Shard, member: str) -> None:
    shard.run(shard.rescheduling(member, due=NOW + 60_000))


def _lapsed(shard: Shard, member: str) -> None:
    shard.now += TTL + 1
    assert shard.claim(f"{OTHER}9").members


@pytest.mark.parametrize("meanwhile", [_cancelled, _moved, _lapsed])
def test_end__comes_too_late(meanwhile: Callable[[Shard, str], None], shard: Shard) -> None:
    """A cancel, another due time or another worker while it was sent: the outcome is refused."""
    (member,) = _leased(shard)
    given = ending(shard, "deliver", member)
    meanwhile(shard, member)
    before = snapshot(shard)
    assert end(shard, given) == [("stale", "")]
    assert snapshot(shard) == before


def test_others_of_the_lease__keep_it(shard: Shard) -> None:
    """What is not named stays under the lease, at its score."""
    first, second, third = _leased(shard, "push:u1", "push:u2", "push:u3")
    assert end(shard, ending(shard, "deliver", second))[0].word == "delivered"
    assert shard.leases() == {first: MINE, third: MINE}
    assert shard.open(first) == 2
    assert_counted(shard)


def test_abandoned_before__is_forgotten_with_an_outcome(shard: Shard) -> None:
    """Only leases that ended without an outcome are counted."""
    members = [shard.accept(number)[0] for number in range(1, 4)]
    abandon(shard, 1)
    shard.now += 1
    assert [claimed.abandoned for claimed in shard.claim().members] == [1, 1, 1]
    outcomes = zip(("deliver", "retry", "release"), members, strict=True)
    end(shard, *(ending(shard, word, member) for word, member in outcomes))
    assert shard.counts() == {}


def test_foreign_token__ends_nothing(shard: Shard) -> None:
    """A token that never was: stale for each, and nothing is written."""
    member = SEEDS["pending"](shard, 1)
    given = Deliver(member.encode(), shard.route(member).delivered("w"), KEEP)
    before = snapshot(shard)
    assert end(shard, given, token="nobody:0:1:1") == [("stale", "")]
    assert snapshot(shard) == before


def test_entries__are_what_the_feed_reads(shard: Shard) -> None:
    """Its writers take the channel of what was delivered, and pass over all else."""
    first, second = _leased(shard, "push:u1", "push:u2")
    end(shard, ending(shard, "deliver", first), ending(shard, "skip", second))
    rows: Any = shard.client.xrange(shard.keys.deliveries)
    told = [read_delivery(fields) for _, fields in rows]
    assert told == [DeliveredVia("u1", split(first)[0], "push"), None]


def test_deliveries__are_trimmed(shard: Shard) -> None:
    """The stream has a bound of its own: nobody who does not read holds up anything."""
    pipeline = shard.client.pipeline(transaction=False)
    for _ in range(101_000):
        pipeline.xadd(shard.keys.deliveries, {"user_id": "u1"})
    pipeline.execute()
    (member,) = _leased(shard)
    end(shard, ending(shard, "deliver", member))
    assert 100_000 <= shard.client.xlen(shard.keys.deliveries) < 100_500
    assert deliveries(shard)[-1] == _entry(member, "delivered")
