"""Contacts as programs write them: the first wrong field is named, and no value is shown."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.contacts.contact import NewContact
from galaxy_notify.contacts.contact_input import read_contacts
from galaxy_notify.errors import InvalidContact
from galaxy_notify.settings import settings_from
from tests.support.contacts import EMAIL, HOOKED, SECRETS, sections

EXTERNAL = settings_from(sections()).channels
SECRET = "s3cr3t"
MINE = {"channel": "mine", "address": EMAIL}


def test_read__takes_all_fields() -> None:
    """Id and data are optional, and null is as absent."""
    wanted = [{**MINE, "id": "e.1", "data": {"a": [1]}}, {**MINE, "address": "b@c", "id": None}]
    assert read_contacts(wanted, EXTERNAL) == [
        NewContact("mine", EMAIL, "e.1", {"a": [1]}),
        NewContact("mine", "b@c"),
    ]


def test_read__channel_may_be_said_once() -> None:
    """One that names no channel is of the given one, or of the only one."""
    (one,) = read_contacts([{"address": EMAIL}], EXTERNAL, "mine")
    assert one.channel == "mine"
    (one,) = read_contacts([{"address": EMAIL}], {"mine": EXTERNAL["mine"]})
    assert one.channel == "mine"


@pytest.mark.parametrize(
    ("value", "field", "said"),
    [
        ("x", "", "must be a list of contacts, not text"),
        ({}, "", "must be a list of contacts, not an object"),
        ([1], "[0]", "must be an object, not a number"),
        ([MINE | {"kind": "x"}], "[0].kind", "is not one of channel, address, id, data"),
        ([{"address": EMAIL}], "[0].channel", "must be given (known: hooks, mine)"),
        ([MINE | {"channel": "push"}], "[0].channel", 'must be an external one, not "push"'),
        ([MINE | {"channel": 1}], "[0].channel", "must be an external one, not 1"),
        ([MINE | {"address": None}], "[0].address", "must be text, not null"),
        ([MINE | {"address": ""}], "[0].address", "must be 1 to 2048 characters"),
        ([MINE | {"address": "a" * 2049}], "[0].address", "must be 1 to 2048 characters"),
        ([MINE | {"address": " a"}], "[0].address", "must not begin or end with spaces"),
        ([MINE | {"address": "a\nb"}], "[0].address", "or contain control characters"),
        ([MINE | {"address": "a\ud800"}], "[0].address", "must not begin"),
        ([MINE | {"id": "-"}], "[0].id", "must match"),
        ([MINE | {"id": "a/b"}], "[0].id", "must match"),
        ([MINE | {"id": "a" * 201}], "[0].id", "must match"),
        ([MINE | {"data": []}], "[0].data", "must be an object, not a list"),
        ([MINE | {"data": {"a": [{1}]}}], "[0].data.a[0]", "must be a JSON value"),
        ([MINE | {"data": {"a": "x" * 9000}}], "[0].data", "must be 8192 bytes of JSON at most"),
        ([MINE, MINE], "[1].address", "repeats that of [0]"),
        ([MINE | {"id": "a"}, MINE | {"id": "a", "address": "b"}], "[1].id", "repeats that of"),
        ([MINE | {"address": str(n)} for n in range(21)], "[20]", "more than 20 contacts of mine"),
    ],
)
def test_read__names_what_is_wrong(value: Any, field: str, said: str) -> None:
    """The field has the place in the list in front of it."""
    with pytest.raises(InvalidContact) as error:
        read_contacts(value, EXTERNAL)
    assert error.value.field == field
    assert said in error.value.message


@pytest.mark.parametrize(
    "address",
    ["example.com", f"ftp://h/{SECRET}", "https://", f"https://u:{SECRET}@h/", "https://h/#s3cr3t",
     "https://h/a s3cr3t", "https://[s3cr3t", "https://h:s3cr3t/", "javascript:alert(1)"],
)  # fmt: skip
def test_read__webhooks_have_urls(address: str) -> None:
    """What is no URL, or has a password in it, is refused without being shown."""
    with pytest.raises(InvalidContact) as error:
        read_contacts([{"channel": "hooks", "address": address}], EXTERNAL)
    assert error.value.field == "[0].address"
    assert SECRET not in str(error.value)
    assert read_contacts([HOOKED], EXTERNAL)


@pytest.mark.parametrize(
    ("data", "field"),
    [(None, "secrets"), ({"types": []}, "secrets"), ({"secrets": SECRETS, "a": 1}, "a"),
     ({"secrets": SECRETS, "headers": {"X-A": ""}}, "headers.X-A")],
)  # fmt: skip
def test_read__webhooks_have_secrets(data: Any, field: str) -> None:
    """A webhook that could only be sent unsigned is refused, and so is other data that is wrong."""
    with pytest.raises(InvalidContact) as error:
        read_contacts([HOOKED | {"data": data}], EXTERNAL)
    assert error.value.field == f"[0].data.{field}"
