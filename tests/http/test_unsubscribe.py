"""The page for users: the link of an e-mail shows a form, and only its button changes anything."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from galaxy_notify.contacts.sealing import ContactPlace
from galaxy_notify.contacts.unsubscribe_token import unsubscribe_token
from galaxy_notify.settings.contacts import parse_key
from tests.support.api import ApiProcess, api_on, bearer, entry
from tests.support.contacts import key
from tests.support.servers import Server
from tests.support.settings import NEEDED

CONTACTS = "/v1/users/u1/contacts"
LINK = "/v1/unsubscribe"
MAIL = {"kind": "email", **NEEDED["email"]}


@pytest.fixture
def process(server: Server) -> Iterator[ApiProcess]:
    """Start an API that stores contacts."""
    channel = {f"channels.mail__{name}": value for name, value in MAIL.items()}
    tokens = [entry("shop", "producer")]
    with api_on(
        server,
        http__tokens=tokens,
        worker__channels=["push", "mail"],
        contacts__keys=[key()],
        **channel,
    ) as api:
        yield api


@pytest.fixture
def shop(process: ApiProcess) -> Iterator[httpx.Client]:
    """Give the client of an application."""
    with process.client("shop") as client:
        yield client


@pytest.fixture
def reader(process: ApiProcess) -> Iterator[httpx.Client]:
    """Give the client of whoever opens an e-mail."""
    with process.client() as client:
        yield client


def _stored(shop: httpx.Client) -> dict[str, object]:
    (contact,) = shop.get(CONTACTS).json()["contacts"]
    found: dict[str, object] = contact
    return found


def _token(shop: httpx.Client) -> str:
    shop.put(CONTACTS, json=[{"channel": "mail", "address": "ada@example.com"}])
    place = ContactPlace("u1", "mail", str(_stored(shop)["id"]))
    return unsubscribe_token(place, parse_key(key()))


def test_link__changes_nothing_until_its_button_is_pressed(
    shop: httpx.Client, reader: httpx.Client
) -> None:
    """A program that opens every link finds a form; the button disables the contact, once."""
    query = {"token": _token(shop)}
    shown = reader.get(LINK, params=query)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<form method="post">' in shown.text
    assert reader.head(LINK, params=query).status_code == 200
    assert _stored(shop)["disabled_at_ms"] is None
    done = reader.post(LINK, params=query, data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    assert "Unsubscribed" in done.text
    first = _stored(shop)
    assert (first["disabled_reason"], first["address"]) == ("unsubscribed", "ada@example.com")
    assert reader.post(LINK, params=query).status_code == 200
    assert _stored(shop) == first


def test_link__stays_good_where_the_address_is_given_again(
    shop: httpx.Client, reader: httpx.Client
) -> None:
    """An application that stores the same contacts each night undoes nothing."""
    query = {"token": _token(shop)}
    reader.post(LINK, params=query)
    _token(shop)
    assert _stored(shop)["disabled_reason"] == "unsubscribed"


def test_page__may_do_nothing_but_send_its_form(shop: httpx.Client, reader: httpx.Client) -> None:
    """One policy, which is ours; no cookie, no script, no frame."""
    shown = reader.get(LINK, params={"token": _token(shop)})
    (policy,) = shown.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "sandbox allow-forms" in policy
    assert "'unsafe-inline'" not in policy
    assert "set-cookie" not in shown.headers
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "script" not in shown.text


@pytest.mark.parametrize("token", ["", "x", "a" * 5000, "%00", "<script>"])
def test_link__may_be_anything(reader: httpx.Client, token: str) -> None:
    """What is no link says so, and shows nothing of what was given."""
    for method in ("GET", "POST"):
        answer = reader.request(method, LINK, params={"token": token})
        assert answer.status_code == 404
        assert "not valid" in answer.text
        assert "<script" not in answer.text


def test_link__of_a_contact_that_is_gone_is_done(shop: httpx.Client, reader: httpx.Client) -> None:
    """Whoever was deleted gets no more either; the page does not say which."""
    query = {"token": _token(shop)}
    shop.put(CONTACTS, json={"channels": ["mail"]})
    answer = reader.post(LINK, params=query)
    assert (answer.status_code, "Unsubscribed" in answer.text) == (200, True)


def test_link__is_its_own_authority(shop: httpx.Client, reader: httpx.Client) -> None:
    """A page of another site, a cookie or a token of the API change nothing about it."""
    query = {"token": _token(shop)}
    headers = {"Origin": "https://evil.example", "Cookie": "a=b", **bearer("wrong")}
    assert reader.post(LINK, params=query, headers=headers).status_code == 200
    assert _stored(shop)["disabled_reason"] == "unsubscribed"
