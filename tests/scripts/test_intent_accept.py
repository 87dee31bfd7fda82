"""accept: nothing → pending, once, however often it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.model.notification import NewNotification, RouteGroup
from galaxy_notify.model.route import Status, initial_state, skipped_state
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.accept_calls import intent_accept
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.shard import KEEP, NOW, Shard, new, ruled
from tests.scripts.support.snapshot import snapshot


def _words(shard: Shard, *items: NewNotification) -> list[str]:
    return [answer.word for answer in shard.answers(*items)]


def test_accept__creates_and_schedules(shard: Shard) -> None:
    """Every route is pending and due now, and the notification is kept while one is open."""
    item = new(1, ("email:u1", "push:u1"))
    (answer,) = shard.answers(item)
    assert answer == ("accepted", str(NOW))
    made = f"{item.notification_id}/push:u1"
    route = shard.route(made)
    assert (route.status, route.due_at_ms, route.at_ms) == (Status.PENDING, NOW, NOW)
    assert shard.schedule() == {made: NOW}
    assert shard.schedule("email") == {f"{item.notification_id}/email:u1": NOW}
    assert shard.open(made) == 2
    assert shard.client.hget(shard.hash_of(made), "record") == item.record
    assert shard.client.pttl(shard.hash_of(made)) == -1
    assert shard.total("accepted") == 2


@pytest.mark.parametrize(
    ("due", "expected"), [(None, NOW), (NOW - 1, NOW), (NOW, NOW), (NOW + 1, NOW + 1)]
)
def test_accept__is_due_when_asked_but_not_before_now(
    due: int | None, expected: int, shard: Shard
) -> None:
    """A due time in the past means now."""
    (member,) = shard.accept(1, due=due)
    assert shard.schedule() == {member: expected}
    assert shard.route(member).due_at_ms == expected


def test_accept__counts_a_delay_from_now(shard: Shard) -> None:
    """A due time that none can be is how long from now; the other groups are due as they were."""
    item = new(1, ("push:u1", "push:u2"))
    delayed = RouteGroup(initial_state(3, 300_000), ("email:u1",))
    skipped = RouteGroup(skipped_state("expires_first"), ("email:u2",), "expires_first")
    whole = item._replace(groups=[*item.groups, delayed, skipped])
    assert _words(shard, whole, whole) == ["accepted", "duplicate"]
    late = f"{item.notification_id}/email:u1"
    assert shard.schedule("email") == {late: NOW + 300_000}
    assert (shard.route(late).due_at_ms, shard.route(late).max_attempts) == (NOW + 300_000, 3)
    assert set(shard.schedule().values()) == {NOW}
    assert shard.total("skipped:expires_first") == 1
    # A time as long ago as one can be is a time.
    (member,) = shard.accept(2, due=10**12)
    assert shard.route(member).due_at_ms == NOW
    (member,) = shard.accept(3, due=10**12 - 1)
    assert shard.route(member).due_at_ms == NOW + 10**12 - 1
    assert_counted(shard)


def test_accept__twice_creates_once(shard: Shard) -> None:
    """The same call sent again, after a lost reply say, changes nothing."""
    items = [new(1), new(2, ("push:u1", "push:u2"), due=NOW + 500)]
    assert _words(shard, *items) == ["accepted", "accepted"]
    before = snapshot(shard)
    assert _words(shard, *items) == ["duplicate", "duplicate"]
    assert snapshot(shard) == before


def test_accept__of_a_cancelled_one_says_so(shard: Shard) -> None:
    """The first part tells that it was cancelled, so that later parts are born cancelled."""
    (member,) = shard.accept(1)
    shard.cancel(member, mark=True)
    assert shard.answers(new(1)) == [("duplicate", "cancelled")]


@pytest.mark.parametrize("marked", [True, False])
def test_accept__is_born_cancelled(marked: bool, shard: Shard) -> None:
    """A part of a cancelled notification is never scheduled, is counted, and goes in time."""
    item = new(1, ("push:u1", "push:u2"), born_cancelled=not marked)
    if marked:
        shard.run(calls.route_cancel(shard.keys, item.notification_id, (), keep_ms=KEEP, mark=True))
    assert _words(shard, item) == ["accepted"]
    member = f"{item.notification_id}/push:u1"
    assert shard.route(member).status is Status.CANCELLED
    assert shard.schedule() == {}
    assert shard.client.pttl(shard.hash_of(member)) > 0
    assert shard.total("cancelled") == 2
    assert_counted(shard)


def test_accept__takes_a_thousand_routes(shard: Shard) -> None:
    """The largest part of the largest notification is one call."""
    routes = [f"{channel}:user-{n}" for channel in ("email", "push") for n in range(500)]
    assert _words(shard, new(1, routes)) == ["accepted"]
    assert len(shard.schedule()) == len(shard.schedule("email")) == 500
    assert shard.total("accepted") == 1000


def test_accept__of_a_thousand_notifications(shard: Shard) -> None:
    """A call of many small notifications is answered one by one, in order."""
    answers = shard.answers(*(new(n, due=NOW + n) for n in range(1, 1001)))
    assert [answer.detail for answer in answers] == [str(NOW + n) for n in range(1, 1001)]


@pytest.mark.parametrize(
    ("first", "second", "wakes"),
    [(None, None, True), (9_000, 5_000, True), (5_000, 9_000, False), (9_000, None, True)],
)
def test_accept__wakes_for_what_is_next(
    first: int | None, second: int | None, wakes: bool, shard: Shard
) -> None:
    """A worker is woken for what is due now or earlier than the head, and once at most."""
    shard.answers(new(1, due=first and NOW + first))
    wake = shard.keys.wake("push")
    shard.client.delete(wake)
    shard.answers(new(2, due=second and NOW + second), new(3, due=second and NOW + second))
    assert shard.client.llen(wake) == int(wakes)


def test_accept__is_not_held_up_by_a_broken_neighbour(shard: Shard) -> None:
    """One whose key is of another type is a fault; the others are accepted."""
    shard.client.set(shard.keys.notification(f"{2:032x}"), "foreign")
    assert _words(shard, new(1), new(2), new(3)) == ["accepted", "fault", "accepted"]
    assert len(shard.schedule()) == 2
    assert_counted(shard)


@pytest.mark.parametrize("due", [None, NOW + 5_000])
@pytest.mark.parametrize("broken", ["push", "email"])
def test_accept__leaves_nothing_of_a_route_it_cannot_schedule(
    broken: str, due: int | None, shard: Shard
) -> None:
    """Where one channel's schedule is broken, no channel of that notification is accepted."""
    shard.client.set(shard.keys.schedule(broken), "foreign")
    before = snapshot(shard)
    assert _words(shard, new(1, ("email:u1", "push:u1"), due=due)) == ["fault"]
    assert snapshot(shard) == before
    whole = "email" if broken == "push" else "push"
    items = [new(2, ("email:u1", "push:u1"), due=due), new(3, (f"{whole}:u1",), due=due)]
    assert _words(shard, *items) == ["fault", "accepted"]
    shard.client.delete(shard.keys.schedule(broken))
    assert_consistent(shard)


def test_accept__uses_the_clock_of_the_server(shard: Shard) -> None:
    """In production no time is passed in: Redis knows what time it is."""
    call = intent_accept(shard.keys, [new(1)])
    seconds, _ = shard.client.time()
    answer = calls.answers(shard.client.eval(call.script.source, 2, *call.keys, *call.args))[0]
    assert 0 <= int(answer.detail) - seconds * 1000 < 60_000


@pytest.mark.parametrize("first", [("push:u1",), ("email:u1", "push:u1")])
def test_accept__takes_a_repetition_back_as_well(first: tuple[str, ...], shard: Shard) -> None:
    """What is repeated in the same call is no duplicate of what could not be scheduled."""
    shard.client.set(shard.keys.schedule("push"), "foreign")
    before = snapshot(shard)
    assert _words(shard, new(1, first), new(1, first)) == ["fault", "fault"]
    assert snapshot(shard) == before


def test_accept__keeps_what_is_born_cancelled_beside_a_broken_channel(shard: Shard) -> None:
    """A notification that is never scheduled does not need the schedule."""
    shard.client.set(shard.keys.schedule("push"), "foreign")
    shard.run(calls.route_cancel(shard.keys, f"{2:032x}", (), keep_ms=KEEP, mark=True))
    items = [new(1), new(2), new(3, born_cancelled=True), new(4, ("email:u1",))]
    assert _words(shard, *items) == ["fault", "accepted", "accepted", "accepted"]
    assert shard.total("accepted") == 3


def test_accept__of_one_whose_record_was_lost_changes_nothing(shard: Shard) -> None:
    """Somebody else's hand in our keys does not make a notification a new one."""
    (member,) = shard.accept(1)
    shard.client.hdel(shard.hash_of(member), "record")
    before = snapshot(shard)
    assert shard.answers(new(1)) == [("duplicate", "")]
    assert snapshot(shard) == before


def test_accept__takes_groups_that_begin_apart(shard: Shard) -> None:
    """Each route begins as its group does: due now, due later, or skipped with its reason."""
    item = ruled(
        1,
        (("push:u1", "email:u1"), None, ""),
        (("push:u2",), NOW + 500, ""),
        (("push:u3", "push:u4"), None, "silenced"),
        (("push:u5",), None, "cooldown"),
    )
    assert shard.answers(item) == [("accepted", str(NOW))]
    made = item.notification_id
    assert shard.schedule() == {f"{made}/push:u1": NOW, f"{made}/push:u2": NOW + 500}
    assert shard.schedule("email") == {f"{made}/email:u1": NOW}
    assert shard.open(f"{made}/push:u1") == 3
    route = shard.route(f"{made}/push:u3")
    assert (route.status, route.at_ms) == (Status.SKIPPED, NOW)
    assert [line.failure_class for line in route.history] == ["silenced"]
    assert (shard.total("accepted"), shard.total("skipped")) == (6, 3)
    assert (shard.total("skipped:silenced"), shard.total("skipped:cooldown")) == (2, 1)
    before = snapshot(shard)
    assert _words(shard, item) == ["duplicate"]
    assert snapshot(shard) == before
    assert_counted(shard)


def test_accept__of_what_is_skipped_as_a_whole_goes_in_time(shard: Shard) -> None:
    """Nothing of it is scheduled, nobody is woken, and it is kept as long as what is settled."""
    item = ruled(1, (("push:u1",), None, "silenced"))
    assert _words(shard, item) == ["accepted"]
    assert shard.schedule() == {}
    assert shard.client.llen(shard.keys.wake("push")) == 0
    assert 0 < int(str(shard.client.pttl(shard.hash_of(f"{item.notification_id}/x")))) <= KEEP
    assert_counted(shard)


def test_accept__leaves_nothing_of_groups_it_cannot_schedule(shard: Shard) -> None:
    """Its skipped routes go with the others, and are not counted."""
    shard.client.set(shard.keys.schedule("push"), "foreign")
    before = snapshot(shard)
    items = [ruled(1, (("push:u1",), None, ""), (("push:u2",), None, "silenced"))]
    assert _words(shard, *items) == ["fault"]
    assert snapshot(shard) == before
    items.append(ruled(2, (("push:u1",), None, "silenced")))
    assert _words(shard, *items) == ["fault", "accepted"]
    assert shard.total("skipped") == 1


def test_accept__takes_more_routes_than_a_command_takes_fields(shard: Shard) -> None:
    """Recipients that want many channels make more routes than were asked for."""
    groups = [
        ([f"{channel}:user-{n}" for n in range(1000)], None, "")
        for channel in ("email", "push", "sms", "web", "pager")
    ]
    assert _words(shard, ruled(1, *groups)) == ["accepted"]
    assert shard.client.hlen(shard.keys.notification(f"{1:032x}")) == 5002
    assert shard.open(f"{1:032x}/x") == 5000


def test_accept__has_preferences_looked_at_first(shard: Shard) -> None:
    """Where users have any, nothing is accepted unless they were looked at."""
    shard.client.set(shard.keys.preferred, "1")
    before = snapshot(shard)
    items = [new(1), new(2, ("push:u1", "email:u1"))]
    assert _words(shard, *items) == ["check_rules", "check_rules"]
    assert snapshot(shard) == before
    reply = shard.run(intent_accept(shard.keys, items, ruled=True))
    assert [answer.word for answer in calls.answers(reply)] == ["accepted", "accepted"]


def test_accept__lists_what_it_made(shard: Shard) -> None:
    """One entry for each call; neither later parts nor duplicates are listed."""
    part = new(3)._replace(notification_id=f"{3:032x}.2")
    shard.answers(new(1), new(2), part)
    shard.answers(new(1))
    shard.answers(new(4), new(1))
    entries: Any = shard.client.xrange(shard.keys.accepted)
    listed = [fields[b"ids"].decode().split() for _, fields in entries]
    assert listed == [[f"{1:032x}", f"{2:032x}"], [f"{4:032x}"]]
