"""user_deliver, recent_read, presence_attend: one offset for each event, and no hole."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

import pytest

from galaxy_notify.model.cursor import BEGINNING, Cursor, recent_id
from galaxy_notify.model.live_event import Retraction, unpack_live_event
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.recent import (
    Delivered,
    Missed,
    NewEvent,
    RecentLimits,
    RecentPlace,
    new_retraction,
    presence_attend,
    read_delivered,
    read_here,
    read_missed,
    recent_read,
    user_deliver,
)
from tests.scripts.support.injection import refuse_all, refuse_nth
from tests.scripts.support.shard import NOW, Shard
from tests.scripts.support.snapshot import snapshot

LIMITS = RecentLimits(history=4, keep_ms=60_000)
EPOCH = "e1x"


def _id(number: int) -> str:
    return f"{number:032x}"


def _event(number: int, user: str = "u1") -> NewEvent:
    return NewEvent(user, _id(number), b"event %d" % number)


def _call(shard: Shard, *events: NewEvent, epoch: str = EPOCH) -> ScriptCall:
    return user_deliver(shard.keys, LIMITS, epoch, events)


def _deliver(shard: Shard, *events: NewEvent, epoch: str = EPOCH) -> list[Delivered]:
    return read_delivered(shard.run(_call(shard, *events, epoch=epoch)), events)


def _missed(shard: Shard, cursor: Cursor, *, most: int = 4, count: int = 99) -> Missed:
    call = recent_read(shard.keys, [RecentPlace("u1", cursor)], most=most, count=count)
    (found,) = read_missed(shard.run(call), 1)
    return found


def _attend(shard: Shard, instance: str, *users: str, ttl_ms: int = 30_000) -> list[Cursor | None]:
    call = presence_attend(shard.keys, instance, users, ttl_ms)
    return [here and here.top for here in read_here(shard.run(call), len(users))]


def _cursor(number: int, offset: int, epoch: str = EPOCH + "0") -> Cursor:
    """Return the place of an event behind those with the numbers before its own."""
    check = BEGINNING.check
    for each in range(number - offset + 1, number + 1):
        check = sha1(check.encode() + recent_id(_id(each))).hexdigest()[:4]
    return Cursor(epoch, offset, check)


def _numbers(missed: Missed) -> list[int]:
    return [int(event.packed.removeprefix(b"event ")) for event in missed.events]


def test_deliver__counts_from_one_without_a_hole(shard: Shard) -> None:
    """The events of a user have the offsets 1, 2, 3; each user has an epoch of its own."""
    found = _deliver(shard, _event(1), _event(2), _event(1, "u2"), _event(3))
    assert [one.cursor for one in found] == [
        _cursor(1, 1),
        _cursor(2, 2),
        _cursor(1, 1, EPOCH + "2"),
        _cursor(3, 3),
    ]
    assert all(one.is_new for one in found)
    assert 0 < int(shard.client.pttl(shard.keys.recent("u1"))) <= LIMITS.keep_ms


def test_deliver__says_what_is_before_an_event(shard: Shard) -> None:
    """By it a gateway sees that an event follows another one than it has sent."""
    events = [_event(number) for number in range(1, 7)]
    checks = ["0", *(_cursor(number, number).check for number in range(1, 6))]
    assert [one.before for one in _deliver(shard, *events)] == checks
    # The list keeps four: what was before the first of them is not known any more.
    assert [one.before for one in _deliver(shard, *events[2:])] == ["", *checks[3:]]


def test_deliver__gives_a_retraction_a_place_of_its_own(shard: Shard) -> None:
    """It stands once beside its notification, of whichever part, and is read as what it is."""
    new = [_event(1), *(new_retraction("u1", f"{_id(1)}{part}") for part in ("", ".2"))]
    found = _deliver(shard, *new)
    assert [one.cursor.offset for one in found if one.cursor] == [1, 2, 2]
    missed = _missed(shard, _cursor(1, 1))
    assert [unpack_live_event(event.packed) for event in missed.events] == [Retraction(_id(1))]


def test_deliver__again_changes_nothing(shard: Shard) -> None:
    """A repeated batch, also of another gateway, has the places of the first."""
    first = _deliver(shard, _event(1), _event(2))
    before = snapshot(shard)
    again = _deliver(shard, _event(2), _event(1), epoch="other")
    assert snapshot(shard) == before
    assert [one.cursor for one in again] == [first[1].cursor, first[0].cursor]
    assert not any(one.is_new for one in again)


def test_deliver__shows_parts_channels_and_generations_once(shard: Shard) -> None:
    """The part of a notification is not in the id: its user has the notification once."""
    part = NewEvent("u1", f"{_id(1)}.7", b"event 1")
    assert [one.cursor for one in _deliver(shard, _event(1), part)] == [_cursor(1, 1)] * 2


def test_deliver__keeps_the_newest(shard: Shard) -> None:
    """The list is cut to its history; the offsets go on."""
    for number in range(1, 8):
        _deliver(shard, _event(number))
    assert shard.client.llen(shard.keys.recent("u1")) == 2 * LIMITS.history
    assert _missed(shard, _cursor(4, 4)).events[-1].cursor == _cursor(7, 7)


def test_deliver__names_the_instances_that_are_present(shard: Shard) -> None:
    """Instances whose presence lapsed are not named."""
    _attend(shard, "gw-2", "u1", ttl_ms=5000)
    _attend(shard, "gw-1", "u1")
    shard.now += 15_000
    (found,) = _deliver(shard, _event(1))
    assert list(found.instances) == ["gw-1"]


@pytest.mark.parametrize("kind", ["text", "list", "gone"])
def test_deliver__to_a_broken_list_begins_a_new_epoch(shard: Shard, kind: str) -> None:
    """What is no recent list is replaced, and only its user gets a reset."""
    _deliver(shard, _event(1), _event(1, "u2"))
    client: Any = shard.client
    client.delete(shard.keys.recent("u1"))
    if kind == "text":
        client.set(shard.keys.recent("u1"), "foreign")
    if kind == "list":
        client.rpush(shard.keys.recent("u1"), "foreign", "list")
    found = _deliver(shard, _event(2), _event(2, "u2"), epoch="e2x")
    assert [one.cursor for one in found] == [_cursor(2, 1, "e2x0"), _cursor(2, 2, EPOCH + "1")]
    assert _missed(shard, _cursor(1, 1)).word == "unknown"


def test_deliver__that_is_refused_names_the_event(shard: Shard) -> None:
    """A refused write concerns its event alone; nothing of it is there."""
    injected = refuse_nth(shard, _call(shard, _event(1), _event(1, "u2")), 2)
    assert injected.command == "RPUSH"
    first, second = read_delivered(injected.reply, [_event(1), _event(1, "u2")])
    assert (first.cursor, first.reason) == (None, "ERR injected")
    assert second.cursor == _cursor(1, 1, EPOCH + "1")
    assert not shard.client.exists(shard.keys.recent("u1"))


@pytest.mark.parametrize("command", ["LINDEX", "LPOS", "RPUSH"])
def test_deliver__without_a_right_delivers_nothing(shard: Shard, command: str) -> None:
    """It is a fault of each event, with the reason, and the key is not replaced."""
    _deliver(shard, _event(1))
    before = snapshot(shard)
    injected = refuse_all(shard, _call(shard, _event(2)), command)
    (found,) = read_delivered(injected.reply, [_event(2)])
    assert found.cursor is None
    assert snapshot(shard) == before


def test_read__finds_another_past_of_the_same_event(shard: Shard) -> None:
    """After a failover the same event may have the same offset, behind events nobody was sent."""
    _deliver(shard, _event(1), _event(2), _event(3))
    shard.client.rpop(shard.keys.recent("u1"), 4)
    found = _deliver(shard, _event(7), _event(3), _event(2))
    assert [one.cursor.offset for one in found if one.cursor] == [2, 3, 4]
    assert _missed(shard, _cursor(3, 3)).word == "rolled_back"
    assert _missed(shard, _cursor(1, 1)).word == "read"


def test_read__gives_what_is_behind_the_cursor(shard: Shard) -> None:
    """The events come in order; nothing is behind the top."""
    _deliver(shard, *map(_event, (1, 2, 3)))
    found = _missed(shard, _cursor(1, 1))
    assert (found.word, found.top, _numbers(found)) == ("read", _cursor(3, 3), [2, 3])
    assert [event.cursor for event in found.events] == [_cursor(2, 2), _cursor(3, 3)]
    assert _missed(shard, _cursor(3, 3)) == Missed("read", _cursor(3, 3))


def test_read__of_the_beginning(shard: Shard) -> None:
    """The cursor of a user without history means all that comes."""
    assert _missed(shard, BEGINNING) == Missed("read", BEGINNING)
    _deliver(shard, *map(_event, (1, 2)))
    assert _numbers(_missed(shard, BEGINNING)) == [1, 2]
    _deliver(shard, *map(_event, (3, 4, 5)))
    assert _missed(shard, BEGINNING, most=9).word == "trimmed"


def test_read__goes_on_page_by_page(shard: Shard) -> None:
    """A page ends before the top, and the next one begins behind its last event."""
    _deliver(shard, *map(_event, (1, 2, 3, 4)))
    first = _missed(shard, _cursor(1, 1), count=2)
    assert (_numbers(first), first.top) == ([2, 3], _cursor(4, 4))
    assert _numbers(_missed(shard, first.events[-1].cursor, count=2)) == [4]


@pytest.mark.parametrize(
    ("cursor", "word"),
    [
        (_cursor(3, 3, "other"), "unknown"),
        (_cursor(6, 7), "rolled_back"),
        (_cursor(9, 4), "rolled_back"),
        (_cursor(2, 2), "trimmed"),
        (_cursor(1, 1), "too_many"),
    ],
)
def test_read__is_never_a_part(shard: Shard, cursor: Cursor, word: str) -> None:
    """Where anything may be missing the reason is given, and no event."""
    for number in range(1, 7):
        _deliver(shard, _event(number))
    found = _missed(shard, cursor)
    assert (found.word, found.top, found.events) == (word, _cursor(6, 6), ())


def test_read__of_a_foreign_key_has_no_history(shard: Shard) -> None:
    """The next event replaces it; until then nothing is known, and nothing is changed."""
    shard.client.set(shard.keys.recent("u1"), "foreign")
    assert _missed(shard, _cursor(1, 1)) == Missed("unknown", BEGINNING)
    assert _missed(shard, BEGINNING) == Missed("read", BEGINNING)
    assert shard.client.get(shard.keys.recent("u1")) == b"foreign"


def test_read__that_is_refused_is_a_fault(shard: Shard) -> None:
    """Without the right to read, no client may be given a reset."""
    _deliver(shard, _event(1))
    call = recent_read(shard.keys, [RecentPlace("u1", BEGINNING)], most=4, count=4)
    for command in ("LINDEX", "LRANGE"):
        (found,) = read_missed(refuse_all(shard, call, command).reply, 1)
        assert (found.word, found.reason) == ("fault", "ERR injected")


def test_attend__gives_the_tops(shard: Shard) -> None:
    """An instance that missed an event sees it by the top; the presence has an end."""
    _deliver(shard, _event(1), _event(2))
    assert _attend(shard, "gw-1", "u1", "u2") == [_cursor(2, 2), BEGINNING]
    assert shard.client.zrange(shard.keys.presence("u1"), 0, -1, withscores=True) == [
        (b"gw-1", NOW + 30_000)
    ]
    assert 0 < int(shard.client.pttl(shard.keys.presence("u2"))) <= 30_000


def test_attend__removes_what_lapsed(shard: Shard) -> None:
    """An instance that died is gone from the set once another renews its presence."""
    _attend(shard, "gw-1", "u1", ttl_ms=10)
    shard.now += 10
    _attend(shard, "gw-2", "u1")
    assert shard.client.zrange(shard.keys.presence("u1"), 0, -1) == [b"gw-2"]


def test_attend__replaces_a_foreign_key(shard: Shard) -> None:
    """Else its user would not be told of events for as long as the key is there."""
    shard.client.set(shard.keys.presence("u1"), "foreign")
    assert _attend(shard, "gw-1", "u1") == [BEGINNING]
    assert shard.client.zrange(shard.keys.presence("u1"), 0, -1) == [b"gw-1"]


def test_attend__that_is_refused_is_no_top(shard: Shard) -> None:
    """Who is not noted must not believe that it will be told."""
    call = presence_attend(shard.keys, "gw-1", ["u1"], 30_000)
    assert read_here(refuse_all(shard, call, "ZADD").reply, 1) == [None]
