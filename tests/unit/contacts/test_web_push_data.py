"""What the contact of a browser may hold."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.contact_input import read_contacts
from galaxy_notify.contacts.web_push_data import (
    check_web_push_data,
    key_id_of,
    read_web_push_data,
)
from galaxy_notify.errors import InvalidContact
from galaxy_notify.settings import settings_from
from galaxy_notify.settings.values import MASK
from tests.support.push import ENDPOINT, EXAMPLE, KEYS, encoded, push_sections

KEY_ID = key_id_of(KEYS["public_key"])


def test_data__is_read() -> None:
    """As browsers write it, and as some libraries do."""
    found = check_web_push_data({**EXAMPLE.keys, "key_id": KEY_ID})
    assert (found.p256dh, found.auth, found.key_id) == (EXAMPLE.p256dh, EXAMPLE.auth, KEY_ID)
    padded = {name: f"{text}==" for name, text in EXAMPLE.keys.items()}
    other = {name: text.translate(str.maketrans("-_", "+/")) for name, text in padded.items()}
    assert read_web_push_data(other) == read_web_push_data(EXAMPLE.keys)
    assert read_web_push_data({**EXAMPLE.keys, "key_id": None}).key_id == ""


def test_data__of_a_later_version_is_read() -> None:
    """But it cannot be given here."""
    later = {**EXAMPLE.keys, "content_encoding": "x"}
    assert read_web_push_data(later) == read_web_push_data(EXAMPLE.keys)
    with pytest.raises(InvalidContact) as caught:
        check_web_push_data(later)
    assert str(caught.value) == "data.content_encoding: is not one of auth, key_id, p256dh"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"auth": None}, "data.auth: must be text, not null"),
        ({"auth": "c2VjcmV0"}, "data.auth: must be 16 bytes in base64url"),
        ({"auth": "ä" * 22}, "data.auth: must be 16 bytes in base64url"),
        ({"p256dh": 1}, "data.p256dh: must be text, not a number"),
        ({"p256dh": "BP4z"}, "data.p256dh: must be 65 bytes in base64url"),
        (
            {"p256dh": encoded(b"\4" * 65)},
            "data.p256dh: must be a public key of P-256, uncompressed",
        ),
        ({"key_id": "K1"}, 'data.key_id: must be 16 hexadecimal digits, not "K1"'),
    ],
)
def test_invalid_data__is_refused_with_its_field(changed: dict[str, Any], message: str) -> None:
    """Never with the key that it holds."""
    with pytest.raises(InvalidContact) as caught:
        check_web_push_data({**EXAMPLE.keys, **changed})
    assert str(caught.value) == message


def test_text__shows_no_key() -> None:
    """It may stand in an error."""
    shown = repr(read_web_push_data(EXAMPLE.keys))
    assert "auth" not in shown
    assert "p256dh" not in shown


def test_key_id__is_that_of_the_key() -> None:
    """However it is padded."""
    assert key_id_of(KEYS["public_key"] + "=") == KEY_ID
    assert key_id_of(encoded(EXAMPLE.p256dh)) != KEY_ID
    assert len(KEY_ID) == 16


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"address": "http://push.example.com/a"}, "[0].address"),
        ({"address": "push.example.com"}, "[0].address"),
        ({"data": {}}, "[0].data.p256dh"),
        ({"data": {**EXAMPLE.keys, "endpoint": ENDPOINT}}, "[0].data.endpoint"),
    ],
)
def test_contact__is_checked_where_it_comes_in(changed: dict[str, Any], field: str) -> None:
    """By whatever way: the HTTP API, the command line, a gateway."""
    channels = settings_from(push_sections()).channels
    given = {"channel": "push", "address": f"{ENDPOINT}/a", "data": EXAMPLE.keys}
    (contact,) = read_contacts([given], channels)
    assert contact.data == EXAMPLE.keys
    with pytest.raises(InvalidContact) as caught:
        read_contacts([{**given, **changed}], channels)
    assert caught.value.field == field
    assert EXAMPLE.keys["auth"] not in str(caught.value)


def test_keys__are_masked_where_contacts_are_shown() -> None:
    """Also to those who may see the address."""
    contact = Contact("c1", "push", "web_push", ENDPOINT, {**EXAMPLE.keys, "key_id": KEY_ID}, 1)
    assert contact.as_json()["data"] == {"p256dh": MASK, "auth": MASK, "key_id": KEY_ID}
