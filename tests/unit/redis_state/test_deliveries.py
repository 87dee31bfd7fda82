"""Entries of the delivery stream, as the feed reads them."""

from __future__ import annotations

import pytest

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.feed import DeliveredVia
from galaxy_notify.redis_state.deliveries import read_delivery

_ID = "0123456789abcdef0123456789abcdef"
_GOOD = {
    b"notification_id": _ID.encode(),
    b"user_id": b"u1",
    b"channel": b"email",
    b"outcome": b"delivered",
    b"reason": b"",
    b"at_ms": b"1700000000000",
}


@pytest.mark.parametrize("part", ["", ".2"])
def test_delivery__names_the_item(part: str) -> None:
    """Whichever part of the notification the route belongs to."""
    fields = _GOOD | {b"notification_id": (_ID + part).encode()}
    assert read_delivery(fields) == DeliveredVia("u1", _ID, "email")


@pytest.mark.parametrize("outcome", [b"skipped", b"dead_letter", b"later \xff"])
def test_delivery__with_another_outcome(outcome: bytes) -> None:
    """It says nothing for the feed, whatever its other fields are."""
    assert read_delivery({b"outcome": outcome}) is None


@pytest.mark.parametrize("name", ["notification_id", "user_id", "channel", "outcome"])
@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"a\0b", b"no such name!", b"\n"])
def test_delivery__garbled(name: str, value: bytes | None) -> None:
    """It is refused with the name of the field; an outcome of any kind is one."""
    fields = {key: one for key, one in _GOOD.items() if key != name.encode()}
    if value is not None:
        fields[name.encode()] = value
    if name == "outcome" and value:
        assert read_delivery(fields) is None
        return
    with pytest.raises(Corrupt, match=f"^{name}: (missing|invalid)$"):
        read_delivery(fields)
