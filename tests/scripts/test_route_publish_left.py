"""route_publish leaves a member that needs code of a worker: unchanged, and due as before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from galaxy_notify.model.notification import decode_notification
from tests.scripts.support.invariants import assert_at_rest, converge
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import LIMITS, NOW, TERMS, TTL, Shard, new
from tests.support.records import encode_notification

OTHER = f"host-2-ffff:0:{TTL}:1"


def _back(shard: Shard, member: str) -> str:
    """Put a member that has left the schedule into it again."""
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    return member


def _seed(state: str) -> Callable[[Shard], str]:
    return lambda shard: _back(shard, SEEDS[state](shard, 1))


def _rewritten(shard: Shard, **changes: Any) -> str:
    """Accept a notification with some fields of its record changed."""
    item = new(1)
    notification = decode_notification(item.notification_id, item.record)
    for name, value in changes.items():
        setattr(notification, name, value)
    shard.answers(item._replace(record=encode_notification(notification, b"12345678")))
    return f"{item.notification_id}/push:u1"


def _record(raw: Callable[[bytes], bytes]) -> Callable[[Shard], str]:
    def accepted(shard: Shard) -> str:
        item = new(1)
        shard.answers(item._replace(record=raw(item.record)))
        return f"{item.notification_id}/push:u1"

    return accepted


def _state(raw: Callable[[bytes], bytes]) -> Callable[[Shard], str]:
    def accepted(shard: Shard) -> str:
        (member,) = shard.accept(1)
        shard.client.hset(shard.hash_of(member), "push:u1", raw(shard.state(member)))
        return member

    return accepted


def _body(*fields: Any) -> Callable[[Shard], str]:
    return _state(lambda state: state + msgpack.packb(fields))


def _without(field: str) -> Callable[[Shard], str]:
    def accepted(shard: Shard) -> str:
        (member,) = shard.accept(1)
        shard.client.hdel(shard.hash_of(member), field)
        return member

    return accepted


def _foreign(shard: Shard) -> str:
    (member,) = shard.accept(1)
    shard.client.delete(shard.hash_of(member))
    shard.client.set(shard.hash_of(member), "foreign")
    return member


def _counted(shard: Shard) -> str:
    (member,) = shard.accept(1)
    shard.client.hset(shard.keys.abandoned("push"), member, "1")
    return member


_LINE = ["rescheduled", NOW, "cli:ann", 0, "", ""]
#: What is left -> what brings it about.
_LEFT: dict[str, Callable[[Shard], str]] = {
    "failed": _seed("failed"),
    "dead letter": _seed("dead_letter"),
    "cancelled": _seed("cancelled"),
    "expired": _seed("expired"),
    "published": _seed("published"),
    "purged": _seed("purged"),
    "vanished": _seed("vanished"),
    "counted as abandoned": _counted,
    "no record": _without("record"),
    "no state": _without("push:u1"),
    "no hash": _foreign,
    "due later by its state": _state(lambda state: state[:15] + b"%013d" % (NOW + 1)),
    "a newer record": _record(lambda raw: b"2" + raw[1:]),
    "a newer state": _state(lambda raw: b"2" + raw[1:]),
    "a record cut short": _record(lambda raw: raw[:-1]),
    "a record with a byte more": _record(lambda raw: raw + b"\x00"),
    "a record of other fields": _record(lambda raw: raw[:9] + msgpack.packb([1, 2, 3, 4])),
    "an empty record": _record(lambda _: b"1"),
    "no content": lambda shard: _rewritten(shard, content=b""),
    "a content of too many fields": lambda shard: _rewritten(shard, content=b"\x8c"),
    "a content that is no map": lambda shard: _rewritten(shard, content=b"\x90"),
    "no type": lambda shard: _rewritten(shard, type=""),
    "no parts": lambda shard: _rewritten(shard, parts=0),
    "too many parts": lambda shard: _rewritten(shard, parts=10**6),
    "a time of another type": _record(lambda raw: raw[:10] + b"\xd3" + raw[11:]),
    "a field more than there are": _record(
        lambda raw: (
            raw[:9]
            + msgpack.packb([*msgpack.unpackb(raw[9:])[:4], None, None, 1, 1, "", "", "", "", ""])
        )
    ),
    "a type in a longer form": _record(lambda raw: raw.replace(b"\xaagame", b"\xd9\x0agame")),
    "a type in a far longer form": _record(
        lambda raw: raw.replace(b"\xaagame", b"\xda\x00\x0agame")
    ),
    "a type beyond ASCII": lambda shard: _rewritten(shard, type="é"),
    "a trace beyond ASCII": lambda shard: _rewritten(shard, trace_id="é"),
    "a time of few bytes": lambda shard: _rewritten(shard, created_at_ms=2**32 - 1),
    "expired now": lambda shard: _rewritten(shard, expires_at_ms=NOW),
    "an attempt": _body(1, 1, 0, []),
    "a count of three fields": _body(1, 0, 0),
    "a count too large": _body(2**31, 0, 0, []),
    "most attempts too large": _body(1, 0, 2**31, []),
    "a negative count": _body(1, 0, -1, []),
    "a count that is a text": _body("1", 0, 0, []),
    "a body with a byte more": _state(lambda raw: raw + b"\x94\x01\x00\x00\x90\x00"),
    "a line of five fields": _body(1, 0, 0, [_LINE[:5]]),
    "a line beyond ASCII": _body(1, 0, 0, [[*_LINE[:5], "é"]]),
    "a line that is a map": _state(
        lambda raw: raw + b"\x94\x01\x00\x00\x91\x86\xa1a\x00\xa0\x00\xa0\xa0"
    ),
    "a line of numbers": _body(1, 0, 0, [[1, 2, 3, 4, 5, 6]]),
    "more than 4 KB of lines": _body(1, 0, 0, [[*_LINE[:5], "m" * 500]] * 9),
    "sixteen lines": _body(1, 0, 0, [_LINE] * 16),
    "a line at no time": _state(
        lambda raw: raw[:2] + b"0" * 13 + raw[15:] + msgpack.packb([1, 0, 0, [_LINE]])
    ),
    "a time that is no number": _state(lambda raw: raw[:2] + b"x" * 13 + raw[15:]),
    "a state of other bytes": _state(lambda _: b"\xff" * 40),
    "an empty state": _state(lambda _: b""),
    "a long state": _state(lambda raw: raw + b"\x94" + bytes(5_000)),
}
_FORMS = {
    "a count": b"\x94\xcc\x01\x00\x00\x90",
    "an attempt": b"\x94\x01\xcd\x00\x00\x00\x90",
    "a list": b"\xdc\x00\x04\x01\x00\x00\x90",
    "the lines": b"\x94\x01\x00\x00\xdc\x00\x00",
    "a text": b"\x94\x01\x00\x00\x91\x96\xd9\x01a\x00\xa0\x00\xa0\xa0",
    "a long text": b"\x94\x01\x00\x00\x91\x96\xda\x00\x01a\x00\xa0\x00\xa0\xa0",
    "a line": b"\x94\x01\x00\x00\x91\xdc\x00\x06\xa1a\x00\xa0\x00\xa0\xa0",
    "a time": b"\x94\x01\x00\x00\x91\x96\xa1a\xcf" + bytes(8) + b"\xa0\x00\xa0\xa0",
}
_LEFT |= {
    f"{name} in a longer form": _state(lambda raw, form=form: raw + form)  # type: ignore[misc]
    for name, form in _FORMS.items()
}


@pytest.mark.parametrize("name", _LEFT)
def test_publish__leaves(name: str, shard: Shard) -> None:
    """The member stays as it is; its neighbours on both sides are published."""
    left = _LEFT[name](shard)
    shard.client.zadd(shard.keys.schedule("push"), {left: NOW - 5})
    first, last = (shard.accept(number, due=NOW)[0] for number in (2, 3))
    shard.client.zadd(shard.keys.schedule("push"), {first: NOW - 9})
    stored = shard.client.dump(shard.hash_of(left))
    published = shard.publish()
    assert (published.word, published.routes, published.left) == ("published", 2, 1)
    assert shard.schedule() == {left: NOW - 5}
    assert shard.client.dump(shard.hash_of(left)) == stored
    assert {fields["event_id"].decode() for _, fields in shard.events()} >= {first, last}


_MEMBERS = ("", "/", "no-slash", "a/b", "\x00/\xff", "%d/%s:", "x" * 4096, f"{1:032x}/email:u1")


@pytest.mark.parametrize("member", _MEMBERS)
def test_publish__leaves_members_that_nobody_wrote(member: str, shard: Shard) -> None:
    """A name of another form, or of another channel, holds nobody up."""
    (good,) = shard.accept(1)
    shard.client.zadd(shard.keys.schedule("push"), {member: 1})
    published = shard.publish()
    assert (published.routes, published.left) == (1, 1)
    assert list(shard.schedule()) == [member]
    assert [fields["event_id"].decode() for _, fields in shard.events()] == [good]


def test_publish__leaves_a_route_of_another_channel(shard: Shard) -> None:
    """Settle puts it where it belongs, under the times and limits of its own channel."""
    (member,) = shard.accept(1, "mail:u1")
    _back(shard, member)
    published = shard.publish()
    assert (published.routes, published.left) == (0, 1)
    assert shard.events() == []


def test_publish__leaves_the_routes_of_a_group_one_by_one(shard: Shard) -> None:
    """Between others of its notification a route is left for itself, and the count is theirs."""
    members = shard.accept(1, *(f"push:u{n}" for n in range(5)))
    shard.client.hset(shard.keys.abandoned("push"), members[1], "1")
    shard.client.hset(shard.hash_of(members[3]), "push:u3", "1garbled")
    published = shard.publish()
    assert (published.routes, published.left) == (3, 2)
    assert shard.open(members[0]) == 2
    assert list(shard.schedule()) == [members[1], members[3]]
    assert shard.client.pttl(shard.hash_of(members[0])) == -1


@pytest.mark.parametrize("routes", [("push:u1",), ("push:u1", "push:u2")])
def test_publish__leaves_a_payload_above_the_limit(routes: tuple[str, ...], shard: Shard) -> None:
    """To the byte; settle dead-letters it, and its neighbours are published."""
    shard.answers(new(1, routes, filler=1_000), new(2, filler=10))
    shard.publish(limits=replace(LIMITS, members=1), terms=TERMS)
    size = len(shard.events()[0][1]["payload_bytes"])
    shard.client.flushdb()
    shard.answers(new(1, routes, filler=1_000), new(2, filler=10))
    published = shard.publish(terms=TERMS._replace(payload_bytes=size - 1))
    assert (published.routes, published.left) == (1, len(routes))
    published = shard.publish(terms=TERMS._replace(payload_bytes=size))
    assert (published.routes, published.left) == (len(routes), 0)


@pytest.mark.parametrize("what", ["record", "state"])
def test_publish__ends_at_a_value_far_too_large(what: str, shard: Shard) -> None:
    """One call reads at most one of them; what stands before it is left first, and then claimed."""
    members = [shard.accept(number)[0] for number in range(1, 5)]
    shard.client.hset(shard.hash_of(members[0]), "record", "1garbled")
    large = "1" * (LIMITS.record_bytes + 1)
    for member in members[1:3]:
        field = "record" if what == "record" else "push:u1"
        shard.client.hset(shard.hash_of(member), field, large)
    published = shard.publish()
    assert (published.routes, published.left) == (0, 2)
    claim = shard.claim(limits=replace(LIMITS, members=published.left))
    assert [found.member.decode() for found in claim.members] == members[:2]
    published = shard.publish()
    assert (published.routes, published.left) == (0, 1)


def test_publish__of_what_it_left_is_settled(shard: Shard) -> None:
    """All of it ends by a claim, and the totals add up."""
    SEEDS["failed"](shard, 2)
    left = _LEFT["a record cut short"](shard)
    shard.accept(3, "push:u1", "push:u2")
    shard.now += 60_000
    assert shard.publish().left == 2
    converge(shard)
    assert_at_rest(shard)
    assert left in shard.dead()
