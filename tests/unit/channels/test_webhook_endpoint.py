"""Endpoints as their owners see them: ids that name users, documents without secrets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.channels.webhook_endpoint import (
    UserEndpoints,
    WebhookEndpoint,
    endpoint_id,
    user_of,
)
from galaxy_notify.contacts.book import UnreadableContact
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.ids import RECIPIENT
from tests.support.contacts import HOOK, SECRETS, WEBHOOK_SECRET

_VALID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@given(st.from_regex(RECIPIENT, fullmatch=True))
def test_endpoint_id__names_its_user(user: str) -> None:
    """Any user can be named in the id of a contact, which is another one each time."""
    made = endpoint_id(user)
    assert _VALID.fullmatch(made)
    assert user_of(made) == user
    assert endpoint_id(user) != made


@pytest.mark.parametrize("name", ["", "a", "mine", "a.", "a.b", "a.!", "a.dTE.x", "a.IA", "a.w6Q"])
def test_user_of__ids_of_another_form(name: str) -> None:
    """They name no user."""
    assert user_of(name) == ""


def _endpoint(**data: object) -> WebhookEndpoint:
    contact = Contact("a", "hooks", "webhook", HOOK, {"secrets": SECRETS, **data}, 5)
    return WebhookEndpoint("u1", contact)


def test_document__has_no_secret() -> None:
    """Neither it nor the values of headers are shown; masked, the URL is not either."""
    endpoint = _endpoint(headers={"X-Key": "hidden"}, types=["a.*"])
    document = endpoint.document()
    assert (document["url"], document["headers"], document["types"]) == (HOOK, ["X-Key"], ["a.*"])
    assert "secret" not in document
    for text in (repr(document), repr(endpoint)):
        assert "hidden" not in text
        assert WEBHOOK_SECRET not in text
    assert endpoint.document(masked=True)["url"] == "https://example.com/…"


def test_document__of_a_rotation() -> None:
    """It says until when the old secret is used."""
    old = {"secret": WEBHOOK_SECRET, "until_ms": 7}
    assert _endpoint(secrets=[*SECRETS, old]).document()["old_secret_until_ms"] == 7
    assert _endpoint().document()["old_secret_until_ms"] is None


def test_document__of_data_that_says_nothing() -> None:
    """It is shown with the reason."""
    assert "types" in _endpoint(types="a").document()["unreadable"]


def test_documents__have_unreadable_ones_too() -> None:
    """They are in the order of channel and id."""
    found = UserEndpoints("u1", [_endpoint()], [UnreadableContact("hooks", "0", "no key")])
    first, second = found.documents()
    assert (first["id"], first["url"], first["unreadable"]) == ("0", None, "no key")
    assert (second["id"], second["unreadable"]) == ("a", None)
    assert first.keys() == second.keys()
