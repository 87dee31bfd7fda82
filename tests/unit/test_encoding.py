"""The payload of an event, and the encoders that make it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgpack
import pytest

from galaxy_notify.encoding import (
    JsonEncoder,
    MsgpackEncoder,
    payload,
    unpack_payload,
)
from galaxy_notify.errors import (
    Corrupt,
    InvalidIntent,
)
from galaxy_notify.model.intent import pack_content
from galaxy_notify.model.notification import (
    Notification,
    decode_notification,
    payload_bytes,
)
from galaxy_notify.model.route import Route, Status
from tests.support.records import encode_notification

ID = "0" * 32
NOW = 1_700_000_000_000
ROUTE = Route(Status.PENDING, NOW, NOW)


@dataclass(frozen=True)
class Content:
    """The part of an intent that a payload is made of."""

    type: str = "game.turn.ready"
    producer: str = "lobby"
    severity: str = "info"
    title: str = ""
    body: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def pack_payload(content: Content) -> bytes:
    """Return the payload as it comes out of a stored record."""
    packed = pack_content(content)
    made = Notification(ID, NOW, content.type, content.producer, packed)
    found = decode_notification(ID, encode_notification(made, b"12345678"))
    assert len(found.packed) == payload_bytes(ID, content.type, content.producer, packed)
    return found.packed


def notification(packed: bytes) -> Notification:
    """Return one with this payload, whatever it is."""
    made = Notification(ID, NOW, "t", "p", b"")
    made._packed = packed
    return made


def minimal(**more: Any) -> bytes:
    fields = {"notification_id": ID, "type": "t", "producer": "p", "created_at_ms": NOW, **more}
    packed: bytes = msgpack.packb(fields)
    return packed


def test_payload__holds_what_the_intent_said() -> None:
    """A payload is a map of the contract's fields in a fixed order."""
    content = Content(title="Turn 12", body="Your move, Zoë", data={"turn": 12, "x": [None, 1.5]})
    fields = unpack_payload(pack_payload(content))
    assert list(fields.items()) == [
        ("notification_id", ID),
        ("type", "game.turn.ready"),
        ("producer", "lobby"),
        ("severity", "info"),
        ("title", "Turn 12"),
        ("body", "Your move, Zoë"),
        ("data", {"turn": 12, "x": [None, 1.5]}),
        ("created_at_ms", NOW),
    ]


def test_payload__leaves_out_what_is_empty() -> None:
    """Empty fields are absent; the four that identify the notification are always there."""
    fields = unpack_payload(pack_payload(Content(severity="info")))
    assert set(fields) == {"notification_id", "type", "producer", "severity", "created_at_ms"}


@pytest.mark.parametrize("value", [2**64, "\ud800", object()])
def test_pack__refuses_what_msgpack_cannot_hold(value: object) -> None:
    """A value that cannot be packed refuses the intent, naming the field."""
    with pytest.raises(InvalidIntent, match="data: cannot be packed"):
        pack_payload(Content(data={"a": value}))


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "ValueError"),
        (b"\xc1", "FormatError"),
        (b"\xdf\xff\xff\xff\xff", "ValueError"),
        (minimal()[:-1], "ValueError"),
        (minimal() + b"\x00", "ExtraData"),
        (msgpack.packb([1]), "not a map"),
        (msgpack.packb({1: 2}), "ValueError"),
        (msgpack.packb({"type": "t"}), "notification_id"),
        (minimal(created_at_ms="now"), "created_at_ms"),
        (minimal(created_at_ms=True), "created_at_ms"),
        (minimal(title=1), "title"),
        (minimal(data=[1]), "data"),
        (minimal(data={"a": b"bytes"}), "max_bin_len"),
        (minimal(data={"a": b""}), "holds a bytes"),
        (minimal(data={"a": msgpack.ExtType(5, b"")}), "holds a ExtType"),
        (minimal(data={"a": msgpack.ExtType(5, b"x")}), "max_ext_len"),
        (minimal(data={"a": msgpack.Timestamp(1)}), "max_ext_len"),
        (minimal()[:-1].replace(b"producer", b"\xff\xff\xff\xff\xff\xff\xff\xff"), "UnicodeDecode"),
        (b"\x91" * 100_000, "Stack"),
    ],
)
def test_unpack__refuses_forged_bytes(packed: bytes, reason: str) -> None:
    """Whatever bytes stand in Redis, reading them ends in `Corrupt` with a short reason."""
    with pytest.raises(Corrupt, match=reason) as caught:
        unpack_payload(packed)
    assert len(str(caught.value)) <= 200


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def test_unpack__limits_depth_and_size() -> None:
    """64 levels pass, one more does not; neither does one byte too many."""
    assert unpack_payload(minimal(data=nested(63)))
    with pytest.raises(Corrupt, match="deeper than 64"):
        unpack_payload(minimal(data=nested(64)))
    packed = minimal()
    assert unpack_payload(packed, max_bytes=len(packed))
    with pytest.raises(Corrupt, match="bytes, more than"):
        unpack_payload(packed, max_bytes=len(packed) - 1)


def test_msgpack__forwards_the_packed_bytes() -> None:
    """The default encoder reads nothing: the very object that was stored is published."""
    forged = b"not even msgpack"
    assert MsgpackEncoder().encode(notification(forged), ROUTE) is forged


def test_json__is_compact_utf8_in_packed_order() -> None:
    """JSON is UTF-8 without spaces, and the same for every route and every run."""
    packed = pack_payload(Content(body="Zoë ✓", data={"b": 1, "a": [True, None]}))
    encoded = JsonEncoder().encode(notification(packed), ROUTE)
    assert (
        encoded
        == (
            f'{{"notification_id":"{ID}","type":"game.turn.ready","producer":"lobby",'
            f'"severity":"info","body":"Zoë ✓","data":{{"b":1,"a":[true,null]}},'
            f'"created_at_ms":{NOW}}}'
        ).encode()
    )
    assert json.loads(encoded) == payload(notification(packed))


def test_json__encodes_a_notification_once() -> None:
    """Routes of one notification share the work; another notification never gets its bytes."""
    encoder = JsonEncoder()
    one, two = notification(minimal(title="one")), notification(minimal(title="two"))
    first = encoder.encode(one, ROUTE)
    assert encoder.encode(one, ROUTE) is first
    assert b"two" in encoder.encode(two, ROUTE)
    assert encoder.encode(one, ROUTE) == first


def test_json__refuses_what_json_has_no_word_for() -> None:
    """NaN and unreadable payloads raise, which dead-letters the route."""
    with pytest.raises(ValueError, match="JSON compliant"):
        JsonEncoder().encode(notification(minimal(data={"a": float("nan")})), ROUTE)
    with pytest.raises(Corrupt):
        JsonEncoder().encode(notification(b"\xc1"), ROUTE)


def outcome_of(
    encode: Callable[[Notification], bytes], made: Notification
) -> bytes | type[Exception]:
    """Return what was encoded, or the kind of refusal."""
    try:
        return encode(made)
    except (Corrupt, ValueError, TypeError) as error:
        return type(error)


def dumped(made: Notification) -> bytes:
    """Return the whole payload, written by `json.dumps`."""
    fields = unpack_payload(made.packed)
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def encoded(made: Notification) -> bytes:
    """Return what the encoder makes of the notification."""
    return JsonEncoder().encode(made, ROUTE)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "body": 'Łódź "\u2028" \\ \x00 \x7f \n',
            "data": {"a": 1e16, "b": -0.0, "c": 2**63, "d": None},
        },
        {"severity": "high", "title": "t", "body": "b", "data": {"deep": [{"x": [True, 1.5]}]}},
        {"data": {"x": float("nan")}},
        {"data": {"x": [float("inf")]}},
        {"data": {"": {}}, "body": ""},
        {"created_at_ms": 5, "notification_id": "another"},
        {"type": 5},
        {"data": [1]},
        {"data": {"bytes": b""}},
        {"data": {b"": 1}},
        {f"field-{n}": n for n in range(11)},
        {f"field-{n}": n for n in range(12)},
    ],
)
def test_json__is_that_of_the_whole_payload(fields: dict[str, Any]) -> None:
    """JSON is written around the content, and is the same as if the payload were unpacked."""
    for name in (ID, "", "é", '"', "x" * 255, "x" * 256):
        for at_ms in (NOW, 0, -1):
            made = Notification(name, at_ms, 'type "ü"', "p" * 300, msgpack.packb(fields))
            expected = outcome_of(dumped, made)
            assert outcome_of(encoded, made) == expected


def test_json__refuses_what_a_whole_payload_would() -> None:
    """Forged content is encoded, or refused, as its payload is."""
    random = Random(7)
    packed = msgpack.packb({"body": "text", "title": "é", "data": {"turn": 1, "list": [1, {}]}})
    for _ in range(2000):
        forged = bytearray(packed)
        for _ in range(random.randint(1, 3)):
            forged[random.randrange(len(forged))] = random.randrange(256)
        content = bytes(forged[: random.randint(len(forged) - 4, len(forged))])
        made = Notification(ID, NOW, "type", "producer", content)
        expected = outcome_of(dumped, made)
        assert outcome_of(encoded, made) == expected
