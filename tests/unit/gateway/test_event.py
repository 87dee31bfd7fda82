"""Events as gateways read them."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event, decode_event, decode_payload
from galaxy_notify.redis_client.stream_member import Entry
from tests.support.events import event_fields, event_id


def _event(**changed: bytes | str) -> Event:
    fields = event_fields(1) | changed
    raw = {
        name.encode(): value if isinstance(value, bytes) else value.encode()
        for name, value in fields.items()
    }
    return decode_event(Entry("1-1", raw, 1), "events", 0)


def test_event__optional_fields() -> None:
    """What the producer's request and trace were comes along, empty where there was none."""
    event = _event(request_id="r-1", trace_id="t-1")
    assert (event.request_id, event.trace_id, event.traceparent) == ("r-1", "t-1", "")
    assert event.payload["data"] == {"number": 1}


def test_event__replayed() -> None:
    """A replayed event carries its generation."""
    assert _event(event_id=event_id(1) + "#2").event_id.endswith("#2")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"event_id": ""}, "event_id: missing"),
        ({"event_id": "0" * 32}, "event_id: not an event id"),
        ({"event_id": event_id(1) + "\n"}, "event_id: not an event id"),
        ({"user_id": ""}, "user_id: missing"),
        ({"event_type": b"\xff"}, "event_type: not UTF-8"),
        ({"trace_id": b"\xff"}, "trace_id: not UTF-8"),
    ],
)
def test_event__refused(changed: dict[str, bytes | str], reason: str) -> None:
    """Fields that no daemon wrote are refused by name."""
    with pytest.raises(Corrupt, match=reason):
        _event(**changed)


def test_event__payload_as_json() -> None:
    """A JSON payload is read under the same rules as a packed one."""
    text = b'{"notification_id":"a","type":"t","producer":"p","created_at_ms":1,"data":{"n":[1]}}'
    assert decode_payload(text)["data"] == {"n": [1]}
    for bad in (b"{", b'{"type":1}', text.replace(b"[1]", b"NaN"), b"{" * 100_000):
        with pytest.raises(Corrupt):
            decode_payload(bad)


def test_event__is_a_plain_value() -> None:
    """A decoded event is equal to one made by hand, can be a key, and survives a copy."""
    event = _event()
    by_hand = Event(
        event_id=event_id(1),
        user_id="u1",
        event_type="game.ready",
        payload_bytes=event.payload_bytes,
        request_id="",
        trace_id="",
        traceparent="",
        stream="events",
        stream_id="1-1",
        shard=0,
        deliveries=1,
    )
    assert event == by_hand == pickle.loads(pickle.dumps(event))
    assert {event: 1}[by_hand] == 1
    assert replace(event, deliveries=2).deliveries == 2
    with pytest.raises(FrozenInstanceError):
        event.shard = 1  # type: ignore[misc]
