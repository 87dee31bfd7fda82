"""Contacts as they are shown: nobody can use what a log or a reader sees."""

from __future__ import annotations

import pytest

from galaxy_notify.contacts.contact import Contact, NewContact, mask

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://example.com/{SECRET}?token={SECRET}", "https://example.com/…"),
        (f"https://u:{SECRET}@example.com:8443/", "https://example.com/…"),
        ("https://[bad", "********"),
        ("ann@example.com", "a…@example.com"),
        ("+4915112345678", "+4…"),
        ("1234", "********"),
        ("@", "********"),
    ],
)
def test_mask__leaves_too_little_to_use(address: str, shown: str) -> None:
    """Enough is left to recognize the address."""
    assert mask(address) == shown


def test_contact__text_has_no_address() -> None:
    """Nothing of it is in what Python shows."""
    new = NewContact("hooks", SECRET, data={"secret": SECRET})
    contact = Contact("a", "hooks", "webhook", SECRET, {"secret": SECRET}, 1)
    assert SECRET not in f"{new!r}{new}{contact!r}{contact}"


def test_contact__document_has_no_secrets() -> None:
    """Secrets among the data are masked wherever they stand; *masked* hides all of it."""
    data = {"types": ["a"], "Secret": SECRET, "more": [{"auth": SECRET, "p": 1}]}
    contact = Contact("a", "hooks", "webhook", "https://h/x", data, 1, 2, "gone")
    shown = contact.as_json()
    assert shown["data"] == {
        "types": ["a"], "Secret": "********", "more": [{"auth": "********", "p": 1}],
    }  # fmt: skip
    assert shown["address"] == "https://h/x"
    assert (shown["disabled_at_ms"], shown["disabled_reason"]) == (2, "gone")
    masked = contact.as_json(masked=True)
    assert masked["data"] == dict.fromkeys(data, "********")
    assert masked["address"] == "https://h/…"
    assert contact.is_disabled
