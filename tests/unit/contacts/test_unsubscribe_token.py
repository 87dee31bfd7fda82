"""Tokens of links: they name one contact, and nothing can be made of them without a key."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.unsubscribe_token import read_unsubscribe_token, unsubscribe_token
from galaxy_notify.settings.contacts import parse_key
from tests.support.contacts import key

OLD, NEW, OTHER = (parse_key(key(name, byte)) for name, byte in (("k1", 1), ("k2", 2), ("k3", 3)))
PLACE = ContactPlace("user-7", "mail", "c1")


@given(st.text(max_size=200), st.text(max_size=30), st.text(max_size=60))
def test_token__names_its_contact(user: str, channel: str, name: str) -> None:
    """It stands in a URL as it is."""
    place = ContactPlace(
        *(one.encode("utf-8", "replace").decode() for one in (user, channel, name))
    )
    token = unsubscribe_token(place, OLD)
    assert token.replace("-", "").replace("_", "").isalnum()
    assert read_unsubscribe_token(token, [OLD]) == place


def test_token__is_good_while_its_key_is_there() -> None:
    """Also behind a new first key, not without its own."""
    token = unsubscribe_token(PLACE, OLD)
    assert read_unsubscribe_token(token, [NEW, OLD]) == PLACE
    assert read_unsubscribe_token(token, [NEW, OTHER]) is None


def test_token__that_was_changed_is_invalid() -> None:
    """Each bit of it is signed."""
    raw = urlsafe_b64decode(unsubscribe_token(PLACE, OLD) + "==")
    for place in range(len(raw)):
        changed = bytes(byte ^ (place == at) for at, byte in enumerate(raw))
        token = urlsafe_b64encode(changed).decode().rstrip("=")
        assert read_unsubscribe_token(token, [OLD]) is None


@pytest.mark.parametrize("token", ["", "a", "=", "ä", "a" * 3000, "a.b", "\n"])
def test_token__may_be_anything(token: str) -> None:
    """What is no token is invalid."""
    assert read_unsubscribe_token(token, [OLD]) is None
