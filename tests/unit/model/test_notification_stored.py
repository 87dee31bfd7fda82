"""What is stored of a notification and of a route: small, and read back as it was."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.notification import (
    Notification,
    decode_notification,
    payload_bytes,
)
from galaxy_notify.model.route import Route, Status, decode_route, initial_state
from tests.support.records import encode_notification

ID = "0123456789abcdef" * 2
NOW = 1_700_000_000_000
DIGEST = b"12345678"
SAYS = {"severity": "info", "title": "T", "body": "x" * 300, "data": {"turn": 12}}
USUAL = Notification(ID, NOW, "game.ready", "lobby", msgpack.packb(SAYS))
FULL = Notification(
    f"{ID}.12",
    NOW,
    "t" * 64,
    "p" * 32,
    msgpack.packb({"severity": "info"}),
    asked_due_ms=NOW + 1,
    expires_at_ms=NOW + 2,
    parts=12,
    routes=1000,
    idempotency_key="key",
    request_id="r-1",
    trace_id="t-1",
    traceparent="00-1-2-01",
)


@pytest.mark.parametrize(
    "kept",
    [
        USUAL,
        FULL,
        replace(USUAL, parts=2),
        replace(USUAL, expires_at_ms=NOW),
        replace(FULL, parts=1),
    ],
)
def test_record__is_read_back(kept: Notification) -> None:
    """Whatever is left out of a record has its usual value when it is read."""
    raw = encode_notification(kept, DIGEST)
    assert raw[:9] == b"1" + DIGEST
    assert decode_notification(kept.notification_id, raw) == kept


def test_record__repeats_nothing() -> None:
    """A usual record is little more than its content, and holds neither its id nor its key."""
    raw = encode_notification(USUAL, DIGEST)
    assert len(raw) - len(USUAL.content) < 42
    assert ID.encode() not in raw


@pytest.mark.parametrize("kept", [USUAL, FULL])
def test_payload__is_what_msgpack_makes_of_the_whole(kept: Notification) -> None:
    """Put together from its parts, the payload has the very bytes of the map packed at once."""
    whole = {
        "notification_id": kept.notification_id,
        "type": kept.type,
        "producer": kept.producer,
        **msgpack.unpackb(kept.content),
        "created_at_ms": kept.created_at_ms,
    }
    assert kept.packed == msgpack.packb(whole)
    size = payload_bytes(kept.notification_id, kept.type, kept.producer, kept.content)
    assert size == len(kept.packed)
    assert kept.payload == whole


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"1", b"1" + DIGEST, b"1" + DIGEST + b"\x90", b"1" + DIGEST + b"\x80"),
        b"2" + encode_notification(USUAL, DIGEST)[1:],
        encode_notification(USUAL, DIGEST)[:-1],
        encode_notification(USUAL, DIGEST) + b"x",
        encode_notification(replace(FULL, traceparent=7), DIGEST),  # type: ignore[arg-type]
    ],
)
def test_record__of_another_shape_is_corrupt(raw: bytes) -> None:
    """Nothing is made of bytes that no version of ours wrote."""
    with pytest.raises(Corrupt):
        decode_notification(ID, raw)


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x95", b"\xde\x00\x01"])
@pytest.mark.parametrize("created", [NOW, -1])
def test_payload__of_forged_content_is_corrupt(content: bytes, created: int) -> None:
    """A record that looks sound but is none of ours ends in `Corrupt`, whoever asks."""
    forged = replace(USUAL, content=content, created_at_ms=created)
    found = decode_notification(ID, encode_notification(forged, DIGEST))
    with pytest.raises(Corrupt):
        found.payload  # noqa: B018  # to read it is to unpack it


def test_state__is_empty_until_something_happens() -> None:
    """A new route costs its head alone; one with limits of its own keeps them."""
    new = initial_state(None, NOW)
    assert len(new) == 28
    assert decode_route(new) == Route(Status.PENDING, NOW, 0)
    limited = decode_route(initial_state(3, NOW))
    assert limited == Route(Status.PENDING, NOW, 0, max_attempts=3)
    gone = decode_route(initial_state(3, None, cancelled=True))
    assert gone == Route(Status.CANCELLED, 0, 0, max_attempts=3)


@pytest.mark.parametrize("size", [1, 15, 27])
def test_state__that_is_cut_short_is_corrupt(size: int) -> None:
    """A head that ends early is not taken for one with an early due time."""
    with pytest.raises(Corrupt):
        decode_route(initial_state(None, NOW)[:size])
