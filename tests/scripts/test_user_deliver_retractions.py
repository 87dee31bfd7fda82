"""user_deliver: notifications and their retractions, in any order, and what clients see of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import pytest

from galaxy_notify.model.cursor import BEGINNING, Cursor, recent_id
from galaxy_notify.model.live_event import (
    LiveEvent,
    Retraction,
    live_event,
    unpack_live_event,
)
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.recent import (
    Delivered,
    NewEvent,
    RecentLimits,
    RecentPlace,
    new_retraction,
    presence_attend,
    read_delivered,
    read_missed,
    recent_read,
    stored_event,
    user_deliver,
)
from tests.scripts.support.injection import refuse_nth
from tests.scripts.support.shard import Shard
from tests.scripts.support.snapshot import snapshot

_TAKEN, _OTHER = "a" * 32, "b" * 32
_SECRET = "the text that was taken back"
_HISTORY = 4


def _event(name: str, channel: str = "in_app", user: str = "u1") -> NewEvent:
    payload = {"type": "t", "title": _SECRET, "created_at_ms": 1}
    event = live_event(f"{name}/{channel}:{user}", payload)
    return NewEvent(user, event.notification_id, event.packed)


#: What happens to the user, in every order.
_STEPS: Mapping[str, NewEvent] = {
    "deliver": _event(_TAKEN),
    "deliver by another channel": _event(f"{_TAKEN}.2", "push"),
    "retract": new_retraction("u1", _TAKEN),
    "retract again": new_retraction("u1", f"{_TAKEN}.2"),
    "deliver another": _event(_OTHER),
}


def _call(shard: Shard, event: NewEvent, history: int = _HISTORY) -> ScriptCall:
    return user_deliver(shard.keys, RecentLimits(history, 60_000), "e1x", [event])


def _deliver(shard: Shard, event: NewEvent, history: int = _HISTORY) -> Delivered:
    (found,) = read_delivered(shard.run(_call(shard, event, history)), [event])
    return found


def _stored(shard: Shard) -> list[tuple[bytes, LiveEvent | Retraction]]:
    flat: Any = shard.client.lrange(shard.keys.recent("u1"), 0, -1)
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [(name, unpack_live_event(stored_event(each).packed)) for name, each in pairs]


class _Client:
    """A page of the user: it is told what a gateway is told, and shows what is not taken back."""

    def __init__(self) -> None:
        self.shown: set[str] = set()
        self.place = BEGINNING

    def take(self, cursor: Cursor, packed: bytes) -> None:
        if cursor.epoch == self.place.epoch and cursor.offset <= self.place.offset:
            return
        self.place = cursor
        event = unpack_live_event(packed)
        if isinstance(event, Retraction):
            self.shown.discard(event.notification_id)
        else:
            self.shown.add(event.notification_id)

    def resume(self, shard: Shard) -> None:
        places = [RecentPlace("u1", self.place)]
        reply = shard.run(recent_read(shard.keys, places, most=_HISTORY, count=99))
        (missed,) = read_missed(reply, 1)
        if missed.word != "read":
            # Behind a reset a page asks the feed, which has what was not taken back.
            self.shown, self.place = {_OTHER}, missed.top
        for event in missed.events:
            self.take(event.cursor, event.packed)


@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_any_order__leaves_the_same(shard: Shard, lost: int) -> None:
    """However deliveries, retractions, repeats and a failover fall: the notification is gone.

    A page that is connected all the while, one that connects again at any point, and one that
    connects at the end show the other notification alone.
    """
    shard.run(presence_attend(shard.keys, "gw-1", ["u1"], 10**9))
    for order in permutations(_STEPS):
        shard.client.delete(shard.keys.recent("u1"))
        clients = [_Client() for _ in range(len(order) + 1)]
        for place, step in enumerate(_with_failover(order, lost)):
            _play(shard, step, clients[: 1 + place % len(clients)])
        for client in [*clients, late := _Client()]:
            client.resume(shard)
            assert client.shown == {_OTHER}, order
        assert late.place == clients[0].place
        names = [name for name, _ in _stored(shard)]
        assert len(set(names)) == len(names)
        assert recent_id(_TAKEN) in names
        assert _SECRET.encode() not in b"".join(
            event.packed for name, event in _stored(shard) if name != recent_id(_OTHER)
        )


def _with_failover(order: Sequence[str], lost: int) -> Iterator[str | bytes]:
    """Yield the steps, and a failover that loses the last ones, which are then repeated."""
    kept = order[: len(order) - lost]
    yield from kept
    if lost:
        yield b"keep"
        yield from order[len(kept) :]
        yield b"fail over"
        yield from reversed(order[len(kept) :])


def _play(shard: Shard, step: str | bytes, clients: Sequence[_Client]) -> None:
    key, kept = shard.keys.recent("u1"), "test:kept"
    if step == b"keep":
        shard.client.delete(kept)
        if dump := shard.client.dump(key):
            shard.client.restore(kept, 0, dump)
        return
    if step == b"fail over":
        shard.client.delete(key)
        if dump := shard.client.dump(kept):
            shard.client.restore(key, 0, dump)
        for client in clients:
            client.resume(shard)
        return
    event = _STEPS[str(step)]
    found = _deliver(shard, event)
    assert found.cursor is not None
    for client in clients if found.instances else ():
        if found.cursor.offset > client.place.offset + 1:
            client.resume(shard)
        client.take(found.cursor, event.packed)


def test_retraction__empties_the_earlier_place(shard: Shard) -> None:
    """The event keeps its place; its text is gone, and it reads as a retraction."""
    first = _deliver(shard, _STEPS["deliver"])
    _deliver(shard, _STEPS["deliver another"])
    _deliver(shard, _STEPS["retract"])
    (name, emptied), (_, other), (own, retraction) = _stored(shard)
    assert (name, own) == (b"-" + recent_id(_TAKEN), recent_id(_TAKEN))
    assert emptied == retraction == Retraction(_TAKEN)
    assert isinstance(other, LiveEvent)
    assert first.cursor is not None
    flat: Any = shard.client.lrange(shard.keys.recent("u1"), 1, 1)
    assert stored_event(flat[0]).cursor == first.cursor


def test_retraction__first_keeps_the_event_out(shard: Shard) -> None:
    """Nobody is told the event, and its offset is given to the next one."""
    shard.run(presence_attend(shard.keys, "gw-1", ["u1"], 1000))
    retracted = _deliver(shard, _STEPS["retract"])
    before = snapshot(shard)
    found = _deliver(shard, _STEPS["deliver"])
    assert snapshot(shard) == before
    assert (found.cursor, found.instances, found.is_new) == (retracted.cursor, [], False)
    other = _deliver(shard, _STEPS["deliver another"])
    assert other.cursor is not None
    assert (other.cursor.offset, other.instances) == (2, ["gw-1"])


def test_retraction__in_the_place_of_its_event_has_another_check(shard: Shard) -> None:
    """A failover lost the event, and its offset is the retraction's: who had it gets a reset."""
    _deliver(shard, _STEPS["deliver another"])
    _play(shard, b"keep", [])
    client = _Client()
    client.resume(shard)
    event = _STEPS["deliver"]
    lost = _deliver(shard, event)
    assert lost.cursor is not None
    client.take(lost.cursor, event.packed)
    _play(shard, b"fail over", [])
    found = _deliver(shard, _STEPS["retract"])
    assert found.cursor is not None
    assert found.cursor[:2] == lost.cursor[:2]
    client.resume(shard)
    assert client.shown == {_OTHER}


def test_retraction__is_found_when_the_event_is_trimmed(shard: Shard) -> None:
    """An event that comes again is held against the newest of both, not the oldest."""
    _deliver(shard, _STEPS["deliver"])
    _deliver(shard, _STEPS["retract"])
    for number in range(_HISTORY - 1):
        _deliver(shard, _event(f"{number:032x}"))
    assert len(_stored(shard)) == _HISTORY
    assert _deliver(shard, _STEPS["deliver"]).instances == []
    assert not _deliver(shard, _STEPS["deliver"]).is_new


def test_retraction__of_one_user_is_not_that_of_another(shard: Shard) -> None:
    """Each user has a list."""
    _deliver(shard, new_retraction("u2", _TAKEN))
    assert _deliver(shard, _STEPS["deliver"]).is_new


def test_retraction__of_what_the_list_has_lost(shard: Shard) -> None:
    """It has its place; nothing else changes."""
    _deliver(shard, _STEPS["deliver"], history=1)
    _deliver(shard, _STEPS["deliver another"], history=1)
    found = _deliver(shard, _STEPS["retract"], history=1)
    assert found.cursor is not None
    assert found.cursor.offset == 3
    assert [event for _, event in _stored(shard)] == [Retraction(_TAKEN)]


@pytest.mark.parametrize("number", range(2, 9))
def test_retraction__refused_half_way_is_repeated(shard: Shard, number: int) -> None:
    """Redis refuses any command behind the first: the answer is the error, a repeat does it all."""
    _deliver(shard, _STEPS["deliver"])
    retraction = _STEPS["retract"]
    found = read_delivered(refuse_nth(shard, _call(shard, retraction), number).reply, [retraction])
    assert [(one.cursor, one.reason) for one in found] == [(None, "ERR injected")]
    # Once the retraction is there, nobody is told the event.
    assert number < 5 or not _deliver(shard, _STEPS["deliver"]).instances
    assert _deliver(shard, retraction).is_new == (number < 5)
    assert [event for _, event in _stored(shard)] == [Retraction(_TAKEN)] * 2
    before = snapshot(shard)
    _deliver(shard, retraction)
    assert snapshot(shard) == before


def test_event__is_not_appended_unless_it_is_known_not_to_be_retracted(shard: Shard) -> None:
    """The look for its retraction is refused: the answer is the error."""
    _deliver(shard, _STEPS["retract"])
    event = _STEPS["deliver"]
    (found,) = read_delivered(refuse_nth(shard, _call(shard, event), 2).reply, [event])
    assert found.cursor is None
    assert [kept for _, kept in _stored(shard)] == [Retraction(_TAKEN)]
