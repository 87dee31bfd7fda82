"""Browsers subscribe at a gateway: what is stored for whom, how often, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from galaxy_notify.contacts.book import UserContacts
from galaxy_notify.contacts.contact import Contact, NewContact
from galaxy_notify.contacts.opening import open_book
from galaxy_notify.contacts.web_push_data import key_id_of
from galaxy_notify.redis_client.flows import run_flow_sync
from galaxy_notify.redis_state.contacts import MOST_CONTACTS
from galaxy_notify.settings import Settings, settings_from
from tests.support.api import fields, problem
from tests.support.gateways import KEY_SPACE, GatewayProcess, gateway_on, token
from tests.support.push import ENDPOINT, KEYS, Browser, flat_sections, push_sections
from tests.support.servers import Server, main_server, running

_KEY = "/v1/me/push/key"
_PATH = "/v1/me/push/subscriptions"
_KEY_ID = key_id_of(KEYS["public_key"])


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    """Run a gateway of a deployment with a channel of kind web_push."""
    with running(main_server()) as server, gateway_on(server, **flat_sections()) as process:
        yield process


@pytest.fixture
def own(gateway: GatewayProcess, user: str) -> Iterator[httpx.Client]:
    """Give a client of a user who has no subscription."""
    with gateway.client() as client:
        client.headers["Authorization"] = f"Bearer {token(user)}"
        yield client


class Stored:
    """The contacts of users, as operators see them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.settings: Settings = settings_from({**push_sections(), "redis": {"url": server.url}})
        self.book = open_book(self.settings)

    def all_of(self, user: str) -> list[Contact]:
        """Return the contacts of a user."""
        with self._server.client() as client:
            found: UserContacts = run_flow_sync(client, self.book.all_of(KEY_SPACE, user))
        assert not found.unreadable
        return list(found.contacts)

    def put(self, user: str, *endpoints: str) -> None:
        """Store contacts of a user."""
        new = [NewContact("push", one, data=Browser().keys) for one in endpoints]
        with self._server.client() as client:
            run_flow_sync(client, self.book.put(KEY_SPACE, user, new))

    def disable(self, user: str, contact: Contact) -> None:
        """Disable a contact as a channel does."""
        with self._server.client() as client:
            run_flow_sync(client, self.book.disable(KEY_SPACE, user, contact, "gone"))


@pytest.fixture
def stored(gateway: GatewayProcess) -> Stored:
    """Give the contacts that the gateway stores."""
    return Stored(gateway.server)


def subscription(place: object = "a", browser: Browser | None = None) -> dict[str, Any]:
    """Return what PushSubscription.toJSON() returns."""
    keys = (browser or Browser()).keys
    return {"endpoint": f"{ENDPOINT}/{place}", "expirationTime": None, "keys": keys}


def test_key__is_that_of_the_settings(own: httpx.Client) -> None:
    """With its id."""
    expected = {"public_key": KEYS["public_key"], "key_id": _KEY_ID}
    assert own.get(_KEY).json() == expected
    assert own.get(_KEY, params={"channel": "push"}).json() == expected
    assert own.head(_KEY).status_code == 200


def test_subscription__is_a_contact(own: httpx.Client, user: str, stored: Stored) -> None:
    """Of the user of the token, with the key that it was made with."""
    browser = Browser()
    made = own.post(_PATH, json=subscription(browser=browser))
    assert made.status_code == 201
    (contact,) = stored.all_of(user)
    assert made.json() == {"id": contact.id}
    assert (contact.channel, contact.address) == ("push", f"{ENDPOINT}/a")
    assert contact.data == {**browser.keys, "key_id": _KEY_ID}
    assert not contact.is_disabled


def test_subscription__is_stored_once(own: httpx.Client, user: str, stored: Stored) -> None:
    """However often it comes, also at the same time; the last keys of it are used."""
    with ThreadPoolExecutor(4) as tabs:
        answers = list(tabs.map(lambda _: own.post(_PATH, json=subscription()), range(8)))
    assert {one.status_code for one in answers} == {201}
    browser = Browser()
    last = own.post(_PATH, json=subscription(browser=browser))
    (contact,) = stored.all_of(user)
    assert {one.json()["id"] for one in (*answers, last)} == {contact.id}
    assert contact.data["auth"] == browser.keys["auth"]


def test_subscription__that_an_operator_has_added_keeps_its_id(
    own: httpx.Client, user: str, stored: Stored
) -> None:
    """It is the same browser."""
    stored.put(user, f"{ENDPOINT}/a")
    (before,) = stored.all_of(user)
    assert own.post(_PATH, json=subscription()).json() == {"id": before.id}


def test_disabled_subscription__is_enabled_again(
    own: httpx.Client, user: str, stored: Stored
) -> None:
    """Its browser has just said that it is there."""
    own.post(_PATH, json=subscription())
    stored.disable(user, stored.all_of(user)[0])
    assert stored.all_of(user)[0].is_disabled
    assert own.post(_PATH, json=subscription()).status_code == 201
    (contact,) = stored.all_of(user)
    assert (contact.is_disabled, contact.disabled_reason) == (False, "")


def test_delete__removes_it(own: httpx.Client, user: str, stored: Stored) -> None:
    """Once."""
    path = f"{_PATH}/{own.post(_PATH, json=subscription()).json()['id']}"
    gone = own.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert stored.all_of(user) == []
    problem(own.delete(path), 404, "not-found")


def test_delete__of_another_user_finds_nothing(
    own: httpx.Client, user: str, stored: Stored
) -> None:
    """The user is that of the token, whatever the path names."""
    path = f"{_PATH}/{own.post(_PATH, json=subscription()).json()['id']}"
    other = {"Authorization": f"Bearer {token(f'{user}-other')}"}
    problem(own.delete(path, headers=other), 404, "not-found")
    problem(own.delete(f"{_PATH}/"), 404, "not-found")
    assert len(stored.all_of(user)) == 1


def test_one_too_many__is_refused(own: httpx.Client, user: str, stored: Stored) -> None:
    """Unless one is disabled: the one that was first makes room."""
    for place in range(MOST_CONTACTS):
        assert own.post(_PATH, json=subscription(place)).status_code == 201
    refused = problem(own.post(_PATH, json=subscription("more")), 409, "conflict")
    assert [one["code"] for one in refused["errors"]] == ["too_large"]
    first, second, *_ = stored.all_of(user)
    stored.disable(user, second)
    stored.disable(user, first)
    assert own.post(_PATH, json=subscription("more")).status_code == 201
    left = {one.id: one.is_disabled for one in stored.all_of(user)}
    assert len(left) == MOST_CONTACTS
    assert second.id not in left or first.id not in left
    assert sum(left.values()) == 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "http://push.example.com/a"}, "endpoint"),
        ({"endpoint": "https://127.0.0.1/a"}, "endpoint"),
        ({"endpoint": "https://[::ffff:10.0.0.1]/a"}, "endpoint"),
        ({"endpoint": "https://push.example.com:22/a"}, "endpoint"),
        ({"keys": None}, "keys"),
        ({"keys": {"p256dh": "BP4z", "auth": "x"}}, "keys.p256dh"),
        ({"keys": {"p256dh": Browser().keys["p256dh"]}}, "keys.auth"),
    ],
)
def test_invalid_subscription__is_refused(
    own: httpx.Client, changed: dict[str, Any], field: str
) -> None:
    """With the field; what it holds is not repeated."""
    given = {**subscription(), **changed}
    refused = problem(own.post(_PATH, json=given), 422, "invalid")
    assert fields(refused) == [field]
    assert "10.0.0.1" not in json.dumps(refused)


def test_foreign_channel__is_refused(own: httpx.Client) -> None:
    """There is one."""
    for answer in (
        own.get(_KEY, params={"channel": "mail"}),
        own.post(_PATH, json=subscription(), params={"channel": "mail"}),
    ):
        assert fields(problem(answer, 422, "invalid")) == ["channel"]


def test_stranger__is_refused(gateway: GatewayProcess) -> None:
    """Each path wants the token of a user."""
    with gateway.client() as client:
        for method, path in (("GET", _KEY), ("POST", _PATH), ("DELETE", f"{_PATH}/a")):
            problem(client.request(method, path, json={}), 401, "unauthorized")
        problem(client.get(_PATH), 405, "method-not-allowed")


def test_log__names_no_browser(gateway: GatewayProcess, own: httpx.Client) -> None:
    """Neither its endpoint nor its keys; the answer does not either."""
    browser = Browser()
    for body in (subscription("hidden", browser), {**subscription("hidden", browser), "keys": {}}):
        answer = own.post(_PATH, json=body)
        log = gateway.log.read_text()
        for secret in ("hidden", *browser.keys.values(), KEYS["private_key"]):
            assert secret not in log
            assert secret not in answer.text


def test_deployment_without_the_kind__has_no_such_paths(server: Server) -> None:
    """Its pages need not know why."""
    with gateway_on(server) as other, other.client() as client:
        client.headers["Authorization"] = f"Bearer {token()}"
        problem(client.get(_KEY), 404, "not-found")
