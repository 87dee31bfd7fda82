"""route_publish: what it publishes, where it stops, and what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.model.notification import decode_notification
from galaxy_notify.model.route import Status
from galaxy_notify.redis_state import calls, dead_rows
from galaxy_notify.redis_state.publish_call import PublishTerms
from tests.scripts.support.invariants import assert_at_rest, assert_counted
from tests.scripts.support.outcomes import outcome, publishing
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import (
    KEEP,
    LIMITS,
    NOW,
    TERMS,
    WORKER,
    Shard,
    new,
)
from tests.scripts.support.snapshot import snapshot
from tests.support.records import encode_notification

FEW = replace(LIMITS, members=2)


def test_publish__of_an_empty_channel_is_idle(shard: Shard) -> None:
    """Nothing is due, and nothing will be."""
    published = shard.publish()
    assert (published.word, published.now_ms, published.next_due_ms) == ("idle", NOW, None)
    assert (published.left, published.routes) == (0, 0)
    assert not snapshot(shard)


def test_publish__answers_when_the_next_is_due(shard: Shard) -> None:
    """Never early: a route of the next millisecond stays, and its time is the answer."""
    (member,) = shard.accept(1, due=NOW + 1)
    shard.accept(2, due=NOW + 5_000)
    before = snapshot(shard)
    assert shard.publish().next_due_ms == NOW + 1
    assert snapshot(shard) == before
    shard.now += 1
    assert shard.publish().routes == 1
    assert shard.route(member).status is Status.PUBLISHED
    assert shard.publish().next_due_ms == NOW + 5_000


def test_publish__of_a_paused_channel_changes_nothing(shard: Shard) -> None:
    """The routes wait; another channel goes on, and this one when it is resumed."""
    shard.accept(1, "push:u1", "email:u1")
    shard.run(calls.channel_pause(shard.keys, "push"))
    before = snapshot(shard)
    assert shard.publish() == (("paused", NOW, None, 0, 0, 0, (), (), ()))
    assert snapshot(shard) == before
    assert shard.publish("email").routes == 1
    shard.run(calls.channel_resume(shard.keys, "push"))
    assert shard.publish().routes == 1


@pytest.mark.parametrize(("hold_at", "word"), [(0, "published"), (3, "published"), (2, "held")])
def test_publish__holds_at_the_length_of_the_stream(hold_at: int, word: str, shard: Shard) -> None:
    """At that many entries nothing is published; 0 is no limit."""
    for _ in range(2):
        shard.client.xadd(shard.keys.stream, {"n": 1})
    shard.accept(1)
    before = snapshot(shard)
    published = shard.publish(limits=replace(LIMITS, hold_at=hold_at))
    assert published.word == word
    if word == "held":
        assert (published.stream_length, published.left) == (2, 0)
        assert snapshot(shard) == before
    else:
        assert published.stream_length == 3


def test_publish__writes_the_event_and_the_state(shard: Shard) -> None:
    """Event, state, schedule, count, time to live and total are those of settle."""
    (member,) = shard.accept(1)
    published = shard.publish()
    ((stream_id, fields),) = shard.events()
    assert fields.pop("payload_bytes").startswith(b"\x86\xafnotification_id\xd9 ")
    assert fields == {
        "user_id": b"u1",
        "event_type": b"game.ready",
        "event_id": member.encode(),
        "request_id": b"r-1",
    }
    route = shard.route(member)
    assert (route.status, route.stream_id, route.at_ms) == (Status.PUBLISHED, stream_id, NOW)
    assert [(line.event, line.worker, line.attempt) for line in route.history] == [
        ("published", WORKER, 1)
    ]
    assert published == (
        *("published", NOW, None, 1, 0, 1),
        *([("game.ready", 1)], [(NOW, 1)], []),
    )
    assert not shard.client.exists(shard.keys.schedule("push"), shard.keys.leases("push"))
    assert KEEP - 60_000 < shard.client.pttl(shard.hash_of(member)) <= KEEP
    assert_counted(shard)


def test_publish__writes_the_state_of_settle(shard: Shard) -> None:
    """Up to the stream id, both states are the same bytes."""
    first, second = (shard.accept(number)[0] for number in (1, 2))
    assert shard.publish(limits=replace(LIMITS, members=1)).routes == 1
    shard.claim()
    assert shard.words(publishing(shard, second)) == ["published"]
    states = [
        shard.state(member).removesuffix(shard.route(member).stream_id.encode())
        for member in (first, second)
    ]
    assert states[0] == states[1]


def test_publish__of_a_replayed_route_names_its_generation(shard: Shard) -> None:
    """The event has an id of its own, and the history keeps its lines."""
    member = SEEDS["replayed"](shard, 1)
    before = shard.route(member)
    assert shard.publish().routes == 1
    assert shard.events()[0][1]["event_id"].decode() == f"{member}#2"
    route = shard.route(member)
    events = [line.event for line in route.history]
    assert events == ["dead-lettered", "replayed", "published"]
    assert route.history[:2] == before.history
    assert (route.generation, route.attempts) == (2, 0)
    assert_counted(shard)


def test_publish__of_a_rescheduled_route_keeps_its_line(shard: Shard) -> None:
    """The time of its last transition moves into the line."""
    (member,) = shard.accept(1)
    shard.run(shard.rescheduling(member, due=NOW + 10))
    shard.now += 10
    assert shard.publish().dues == [(NOW + 10, 1)]
    lines = [(line.event, line.at_ms) for line in shard.route(member).history]
    assert lines == [("rescheduled", NOW), ("published", NOW + 10)]
    assert_counted(shard)


@pytest.mark.parametrize(("count", "left"), [(14, 0), (15, 1)])
def test_publish__takes_histories_of_a_short_list(count: int, left: int, shard: Shard) -> None:
    """With more than 15 lines, a list has a longer header: those are left."""
    (member,) = shard.accept(1)
    for _ in range(count):
        shard.run(shard.rescheduling(member, due=NOW))
    published = shard.publish()
    assert (published.left, published.routes) == (left, 1 - left)
    assert len(shard.route(member).history) == 15


@pytest.mark.parametrize("early", [1, 0])
def test_publish__compares_the_expiry(early: int, shard: Shard) -> None:
    """A route that has expired is left, to the millisecond; settle expires it."""
    assert [a.word for a in shard.answers(new(1, expires=NOW + early))] == ["accepted"]
    before = snapshot(shard)
    published = shard.publish()
    assert (published.routes, published.left) == (early, 1 - early)
    assert early or snapshot(shard) == before


def test_publish__ignores_the_expiry_of_a_replayed_route(shard: Shard) -> None:
    """An operator who replays has decided that it is not too late."""
    shard.answers(new(1, expires=NOW + 10))
    member = f"{1:032x}/push:u1"
    shard.claim()
    shard.settle(outcome(shard, "bury", member))
    shard.run(dead_rows.route_replay(shard.keys, [shard.dead_change(member, "replay")]))
    shard.now += 20
    assert shard.publish().routes == 1
    assert shard.events()[0][1]["event_id"].decode() == f"{member}#2"


_KEEPS = PublishTerms(
    TERMS.payload_bytes,
    TERMS.line,
    (KEEP, 2 * KEEP),
    {"other": (9, 9), "chat": (3 * KEEP, 4 * KEEP)},
)


@pytest.mark.parametrize(
    ("kind", "key", "keep"),
    [
        ("turn", "", KEEP),
        ("turn", "k-1", 2 * KEEP),
        ("chat", "", 3 * KEEP),
        ("chat", "k-1", 4 * KEEP),
    ],
)
@pytest.mark.parametrize("routes", [("push:u1",), ("push:u1", "push:u2")])
def test_publish__keeps_a_notification(
    kind: str, key: str, keep: int, routes: tuple[str, ...], shard: Shard
) -> None:
    """For the time of its type, longer with an idempotency key; sole or of several routes."""
    item = new(1, routes)
    notification = decode_notification(item.notification_id, item.record)
    notification.type, notification.idempotency_key = kind, key
    shard.answers(item._replace(record=encode_notification(notification, b"12345678")))
    assert shard.publish(terms=_KEEPS).routes == len(routes)
    left: Any = shard.client.pttl(shard.keys.notification(item.notification_id))
    assert keep - 50_000 < left <= keep


@pytest.mark.parametrize("open_routes", ["5", "-1", "garbled"])
def test_publish__closes_a_sole_route_whatever_was_counted(open_routes: str, shard: Shard) -> None:
    """As settle does: its notification has no other route."""
    (member,) = shard.accept(1)
    shard.client.hset(shard.hash_of(member), "open", open_routes)
    assert shard.publish().routes == 1
    assert shard.open(member) == 0
    assert shard.client.pttl(shard.hash_of(member)) > 0


def test_publish__of_several_channels_closes_with_the_last(shard: Shard) -> None:
    """The notification is kept until no channel needs it any more."""
    members = shard.accept(1, "push:u1", "push:u2", "email:u1")
    assert shard.publish().routes == 2
    assert shard.open(members[0]) == 1
    assert shard.client.pttl(shard.hash_of(members[0])) == -1
    assert_counted(shard)
    assert shard.publish("email").routes == 1
    assert shard.client.pttl(shard.hash_of(members[0])) > 0
    assert [fields["user_id"] for _, fields in shard.events()] == [b"u1", b"u2", b"u1"]
    assert_at_rest(shard)


def test_publish__reports_types_dues_and_traces(shard: Shard) -> None:
    """Each type and each due time has a number of routes; traces are those of 16 at most."""
    for number in range(1, 21):
        item = new(number, ("push:u1", "push:u2"), due=NOW + number % 2)
        notification = decode_notification(item.notification_id, item.record)
        notification.type, notification.traceparent = f"type.{number % 3}", f"trace-{number:02d}"
        shard.answers(item._replace(record=encode_notification(notification, b"12345678")))
    shard.now += 1
    published = shard.publish()
    assert sorted(published.types) == [("type.0", 12), ("type.1", 14), ("type.2", 14)]
    assert sorted(published.dues) == [(NOW, 20), (NOW + 1, 20)]
    assert len(set(published.traceparents)) == len(published.traceparents) == 16
    assert shard.total("published") == published.routes == published.stream_length == 40
