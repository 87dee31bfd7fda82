"""Records and states that nobody of ours wrote: sound ones, changed at random."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgpack

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Failure, decode_route, initial_state
from tests.properties.roads.backlogs import NOW, Planted, Scheduled, stamped
from tests.support.records import encode_notification

ROUTE = "push:u1"
_FAILURE = Failure("payload_encoding_failed", "no such codec " * 20)
#: Values of another type, longer than they need be, or with more behind them than there is.
_VALUES = (
    *(b"\xc0", b"\xc1", b"\xc2", b"\xc3", b"\xca\x00\x00\x00\x00", b"\xcb" + bytes(8)),
    *(b"\xff", b"\xd0\x05", b"\xd1\x00\x05", b"\xd3" + bytes(8), b"\xd4\x01a", b"\xc7\x00\x01"),
    *(b"\xcc\x01", b"\xcd\x00\x01", b"\xce\x00\x00\x00\x01", b"\xcf" + bytes(7) + b"\x01"),
    *(b"\xcf" + b"\xff" * 8, b"\xce\xff\xff\xff\xff", b"\x7f", b"\x00", b"\x01"),
    *(b"\xa0", b"\xd9\x01a", b"\xd9\x00", b"\xda\x00\x01a", b"\xdb\x00\x00\x00\x01a"),
    *(b"\xc4\x00", b"\xc4\x01\x80", b"\xc5\x00\x01\x80", b"\xc6\x00\x00\x00\x01\x80"),
    *(b"\xd9\xff", b"\xda\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xbf"),
    *(b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdc\x00\x04", b"\x90", b"\x80"),
    *(b"\xa2\xc3\x28", b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa2\xc3\xa9", b"\xa1\x00"),
)


def _flip(random: Random, raw: bytearray, at: int) -> None:
    raw[at] ^= 1 << random.randrange(8)


def _replace(random: Random, raw: bytearray, at: int) -> None:
    raw[at] = random.randrange(256)


def _truncate(_: Random, raw: bytearray, at: int) -> None:
    del raw[at:]


def _cut(random: Random, raw: bytearray, at: int) -> None:
    del raw[at : at + random.randint(1, 9)]


def _splice(random: Random, raw: bytearray, at: int) -> None:
    raw[at:at] = random.choice(_VALUES)


def _exchange(random: Random, raw: bytearray, at: int) -> None:
    raw[at : at + random.randint(1, 9)] = random.choice(_VALUES)


def _append(random: Random, raw: bytearray, _: int) -> None:
    raw += random.choice((*_VALUES, bytes(5_000)))


def _repeat(random: Random, raw: bytearray, at: int) -> None:
    raw[at:at] = raw[at : at + random.randint(1, 40)]


_MUTATIONS: tuple[Callable[[Random, bytearray, int], None], ...] = (
    *(_flip, _replace, _truncate, _cut, _splice, _exchange, _append, _repeat),
)


def changed(random: Random, raw: bytes) -> bytes:
    """Return the bytes with one to three changes; most are near to a header."""
    found = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if found:
            random.choice(_MUTATIONS)(random, found, random.randrange(len(found)))
    return bytes(found)


def _field_by_field(random: Random, record: bytes) -> bytes:
    """Return a record with one field packed in another way, and the others as they were."""
    packed = [msgpack.packb(field) for field in msgpack.unpackb(record[9:])]
    packed[random.randrange(len(packed))] = random.choice(_VALUES)
    return record[:9] + bytes([0x90 + len(packed)]) + b"".join(packed)


def sound(random: Random, number: int) -> Planted:
    """Return a sole route that is due: with few fields or all, new or with a history."""
    made = f"{number:032x}"
    content = msgpack.packb({"title": "t" * random.choice((1, 40, 300)), "severity": "info"})
    notification = Notification(made, NOW - 9_000, "game.ready", "lobby", content)
    if random.random() < 0.5:
        notification.asked_due_ms, notification.expires_at_ms = NOW - 5, NOW + 70_000
        notification.idempotency_key, notification.request_id = "k" * 40, "r-1"
        notification.trace_id, notification.traceparent = "t-1", f"00-{7:032x}-{7:016x}-01"
    state = stamped(initial_state(random.choice((None, 3, 300))), NOW - 9_000, NOW - 9_000)
    for _ in range(random.choice((0, 0, 1, 3))):
        route = decode_route(state)
        dead = stamped(route.dead_lettered("w-1", _FAILURE, attempt=True), NOW - 7_000, NOW - 8_000)
        for after in (decode_route(dead).replayed("cli:ann"), route.rescheduled("cli:ann")):
            state = stamped(after, NOW - 7_000, NOW - 8_000)
            if random.random() < 0.5:
                break
    record = encode_notification(notification, b"12345678")
    return Planted(made, record, {ROUTE: Scheduled(state, NOW - random.randint(0, 60_000))})


def forged(random: Random, number: int) -> Planted:
    """Return a route whose record or state, or both, nobody of ours wrote."""
    base = sound(random, number)
    record, (state, score, _) = base.record, base.routes[ROUTE]
    which = random.choice(("record", "field", "state", "body", "both"))
    if which in ("record", "both"):
        record = changed(random, record)
    elif which == "field":
        record = _field_by_field(random, record)
    if which in ("state", "both"):
        state = changed(random, state)
    elif which == "body":
        state = state[:28] + changed(random, state[28:] or b"\x94\x01\x00\x00\x90")
    return Planted(base.notification_id, record, {ROUTE: Scheduled(state, score)})
