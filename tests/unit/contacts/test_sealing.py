"""What is stored of a contact says nothing, and is opened where it belongs only."""

from __future__ import annotations

import msgpack
import pytest

from galaxy_notify.contacts.sealing import ContactPlace, Sealer, key_id_of
from galaxy_notify.errors import Corrupt
from galaxy_notify.settings.contacts import ContactKey

PLACE = ContactPlace("u1", "mine", "a")
CONTENT = {"address": "ann@example.com", "data": {"n": 1}}
OLD, NEW = ContactKey("old", b"1" * 32), ContactKey("new", b"2" * 32)


def test_sealed__is_opened_with_any_key() -> None:
    """The first key seals; whichever sealed opens."""
    stored = Sealer([OLD]).seal(PLACE, CONTENT)
    assert key_id_of(stored) == "old"
    assert Sealer([NEW, OLD]).open(PLACE, stored) == CONTENT
    assert key_id_of(Sealer([NEW, OLD]).seal(PLACE, CONTENT)) == "new"


def test_sealed__says_nothing() -> None:
    """Neither address nor data can be read, and no value is like another."""
    stored, again = (Sealer([OLD]).seal(PLACE, CONTENT) for _ in range(2))
    assert b"ann" not in stored
    assert stored != again


@pytest.mark.parametrize(
    "place",
    [PLACE._replace(user="u2"), PLACE._replace(channel="hooks"), PLACE._replace(id="b")],
)
def test_sealed__is_bound_to_its_place(place: ContactPlace) -> None:
    """What was copied to another user, channel or contact is refused."""
    stored = Sealer([OLD]).seal(PLACE, CONTENT)
    with pytest.raises(Corrupt, match="does not fit, or it was changed"):
        Sealer([OLD]).open(place, stored)


def test_sealed__needs_its_key() -> None:
    """A key that is missing is named; one with the name of another does not fit."""
    stored = Sealer([OLD]).seal(PLACE, CONTENT)
    with pytest.raises(Corrupt, match=r"its key .old. is not in contacts\.keys"):
        Sealer([NEW]).open(PLACE, stored)
    with pytest.raises(Corrupt, match="does not fit"):
        Sealer([ContactKey("old", NEW.secret)]).open(PLACE, stored)


@pytest.mark.parametrize(
    "stored",
    [b"", b"2", b"1", b"1\xc1", b"1" + msgpack.packb([1]), b"1" + msgpack.packb(["a", 1, b""]),
     b"1" + msgpack.packb({"old": 1}), b"1" + msgpack.packb(["old", b"", b"x"]),
     b"1" + msgpack.packb(["old", b"n" * 12, b"x" * 40])],
)  # fmt: skip
def test_sealed__of_any_bytes_is_corrupt(stored: bytes) -> None:
    """Whatever stands there is refused with a reason."""
    with pytest.raises(Corrupt):
        Sealer([OLD]).open(PLACE, stored)
