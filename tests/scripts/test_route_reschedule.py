"""reschedule: pending or failed → the same, due at another time, and no lease is left on it."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_state import calls
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.outcomes import OUTCOMES, outcome, publishing
from tests.scripts.support.seeds import OTHER, SEEDS, abandon
from tests.scripts.support.shard import NOW, TTL, Shard
from tests.scripts.support.snapshot import snapshot

LATER = NOW + 3_600_000


def reschedule(shard: Shard, *members: str, due: int = LATER, mark: bool = False) -> list[str]:
    """Give members of one notification another due time and return the words."""
    return calls.words(shard.run(shard.rescheduling(*members, due=due, mark=mark)))


@pytest.mark.parametrize("state", ["pending", "failed", "leased", "lapsed", "replayed"])
def test_reschedule__moves_it(state: str, shard: Shard) -> None:
    """The status stays; schedule and state agree on the new time, the history tells who moved it.

    What was leased is held by nobody.
    """
    member = SEEDS[state](shard, 1)
    before = shard.route(member)
    assert reschedule(shard, member) == ["moved"]
    route = shard.route(member)
    assert (route.status, route.due_at_ms, route.at_ms) == (before.status, LATER, NOW)
    assert (route.attempts, route.generation) == (before.attempts, before.generation)
    assert [line.event for line in route.history[len(before.history) :]] == ["rescheduled"]
    assert route.history[-1].worker == "cli:ann"
    assert shard.schedule() == {member: LATER}
    assert shard.leases() == {}
    assert shard.open(member) == 1
    assert_counted(shard)


@pytest.mark.parametrize("due", [NOW - 1, NOW, NOW + 1])
def test_reschedule__into_the_past_means_now(due: int, shard: Shard) -> None:
    """A route is never due before the moment at which it was moved."""
    (member,) = shard.accept(1, due=LATER)
    reschedule(shard, member, due=due)
    assert shard.route(member).due_at_ms == max(NOW, due)
    assert shard.schedule() == {member: max(NOW, due)}


@pytest.mark.parametrize("due", [NOW - 1, LATER])
def test_reschedule__keeps_the_delay_of_each_channel(due: int, shard: Shard) -> None:
    """It is counted from the new time, or from now; the notification has the time without it."""
    push, email = shard.accept(1, "push:u1", "email:u1")
    call = shard.rescheduling(push, email, due=due, mark=True, delays={"email": 300_000})
    assert calls.words(shard.run(call)) == ["moved", "moved"]
    expected = max(NOW, due)
    assert shard.schedule() == {push: expected}
    assert shard.schedule("email") == {email: expected + 300_000}
    assert shard.route(email).due_at_ms == expected + 300_000
    assert shard.client.hget(shard.hash_of(push), "due") == str(expected).encode()
    # A worker that waits for what comes next is woken only where that is now.
    shard.client.delete(shard.keys.wake("email"))
    shard.accept(2, "email:u1", due=expected + 300_000 - 1)
    shard.client.delete(shard.keys.wake("email"))
    shard.run(shard.rescheduling(email, due=due, delays={"email": 300_000}))
    assert shard.client.llen(shard.keys.wake("email")) == 0
    assert_consistent(shard)


@pytest.mark.parametrize(
    ("due", "wakes"), [(NOW, True), (NOW + 500, True), (NOW + 1_000, True), (NOW + 1_001, False)]
)
def test_reschedule__wakes_a_worker_where_it_comes_first(
    due: int, wakes: bool, shard: Shard
) -> None:
    """Whoever waits for the next route learns that another one is due before it."""
    shard.accept(1, due=NOW + 1_000)
    (member,) = shard.accept(2, due=LATER)
    shard.client.delete(shard.keys.wake("push"))
    reschedule(shard, member, due=due)
    assert shard.client.llen(shard.keys.wake("push")) == wakes


@pytest.mark.parametrize("word", OUTCOMES)
def test_reschedule__ends_the_lease(word: str, shard: Shard) -> None:
    """Whatever a worker settles of a route that was moved under its hands is stale."""
    member = SEEDS["leased"](shard, 1)
    settlement = outcome(shard, word, member)
    reschedule(shard, member)
    before = snapshot(shard)
    assert shard.words(settlement, f"{OTHER}1") == ["stale"]
    assert snapshot(shard) == before


def test_reschedule__leaves_the_others_of_a_claim(shard: Shard) -> None:
    """Who holds a whole batch settles the rest of it, and publishes nothing that was moved."""
    first, second, third = shard.accept(1, "push:u1", "push:u2", "push:u3")
    claim = shard.claim()
    settlement = publishing(shard, first, second, third)
    assert reschedule(shard, second) == ["moved"]
    call = settlement.call(shard.keys, "push", claim.token, None, len(claim.members))
    words = [answer.word for answer in calls.answers(shard.run(call)[2:])]
    assert words == ["published", "stale", "published"]
    shard.now = LATER
    shard.claim("host-3-aaaa:0:30000:9")
    assert shard.words(publishing(shard, second), "host-3-aaaa:0:30000:9") == ["published"]
    assert len(shard.events()) == 3
    assert_counted(shard)


def test_reschedule__after_the_settlement_changes_nothing(shard: Shard) -> None:
    """What is in the stream stays as it is, however it was read before."""
    member = SEEDS["leased"](shard, 1)
    call = shard.rescheduling(member, due=LATER)
    shard.words(publishing(shard, member), f"{OTHER}1")
    before = snapshot(shard)
    assert calls.words(shard.run(call)) == ["changed"]
    assert snapshot(shard) == before


def test_reschedule__twice_changes_nothing(shard: Shard) -> None:
    """The same call sent again, after a lost reply say, finds the state changed."""
    (member,) = shard.accept(1)
    call = shard.rescheduling(member, due=LATER)
    shard.run(call)
    before = snapshot(shard)
    assert calls.words(shard.run(call)) == ["changed"]
    assert snapshot(shard) == before


def test_reschedule__is_claimed_at_its_new_time(shard: Shard) -> None:
    """Not a millisecond before, and then at once."""
    (member,) = shard.accept(1)
    reschedule(shard, member)
    shard.now = LATER - 1
    assert shard.claim().word == "idle"
    shard.now = LATER
    assert [claimed.member.decode() for claimed in shard.claim().members] == [member]


def test_reschedule__does_not_clear_a_suspect(shard: Shard) -> None:
    """A route that was left behind twice is still taken alone."""
    (member,) = shard.accept(1)
    abandon(shard, 2)
    shard.claim()
    assert shard.counts() == {member: 2}
    reschedule(shard, member)
    assert shard.counts() == {member: 2}


def test_reschedule__marks_the_whole(shard: Shard) -> None:
    """The notification remembers the due time that was asked for last."""
    first, second = shard.accept(1, "push:u1", "push:u2")
    key = shard.hash_of(first)
    reschedule(shard, first)
    assert shard.client.hget(key, "due") is None
    reschedule(shard, first, second, due=LATER + 1, mark=True)
    assert shard.client.hget(key, "due") == b"%d" % (LATER + 1)


def test_reschedule__of_what_vanished_makes_nothing(shard: Shard) -> None:
    """A change that finds no route writes nothing, not even the mark."""
    member = SEEDS["pending"](shard, 1)
    call = shard.rescheduling(member, due=LATER, mark=True)
    shard.client.delete(shard.hash_of(member))
    before = snapshot(shard)
    assert calls.words(shard.run(call)) == ["changed"]
    assert snapshot(shard) == before


def test_reschedule__takes_a_thousand_routes(shard: Shard) -> None:
    """The largest part is moved in one call."""
    members = shard.accept(1, *(f"push:user-{n:03d}" for n in range(1000)))
    assert reschedule(shard, *members) == ["moved"] * 1000
    assert set(shard.schedule().values()) == {LATER}


def test_reschedule__at_maxmemory_leaves_it(shard: Shard) -> None:
    """Where there is no room nothing is written, and a lease stays what it was."""
    member = SEEDS["leased"](shard, 1)
    call = shard.rescheduling(member, due=LATER, mark=True)
    before = snapshot(shard)
    shard.client.config_set("maxmemory", "1")
    try:
        assert calls.words(shard.run(call)) == ["fault"]
    finally:
        shard.client.config_set("maxmemory", "0")
    assert snapshot(shard) == before


@pytest.mark.parametrize("command", ["HGET", "HSET", "ZADD", "ZSCORE"])
def test_reschedule__that_is_refused_gives_the_lease_back(command: str, shard: Shard) -> None:
    """A route of which a part could not be written is as it was, under the lease that it had."""
    member = SEEDS["leased"](shard, 1)
    before = snapshot(shard)
    injected = refuse_all(shard, shard.rescheduling(member, due=LATER, mark=True), command)
    assert injected.reply == [b"fault"]
    assert snapshot(shard) == before
    assert_consistent(shard)


def test_reschedule__keeps_what_it_failed_of(shard: Shard) -> None:
    """A retry that is put off is still a retry after its failure."""
    member = SEEDS["failed"](shard, 1)
    reschedule(shard, member)
    route = shard.route(member)
    assert route.status is Status.FAILED
    assert route.failure is not None
    shard.now = LATER + TTL
    assert shard.claim().members
