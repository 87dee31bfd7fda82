"""Endpoints of users over HTTP: what the command line does, masked for who may only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.api import ApiProcess, api_on, entry, problem
from tests.support.contacts import toml_settings
from tests.support.servers import Server
from tests.support.webhook_owner import webhook_owner

PATH = "/v1/users/u1/webhooks"
URL = "https://1.1.1.1/hooks/path"
NAMES = ("shop", "ann", "grafana")


@pytest.fixture
def process(server: Server) -> Iterator[ApiProcess]:
    """Start an API of a deployment with a channel of webhooks."""
    tokens = [entry("shop", "producer"), entry("ann", "operator"), entry("grafana", "read-only")]
    with api_on(server, http__tokens=tokens, **toml_settings()) as api:
        yield api


@pytest.fixture
def clients(process: ApiProcess) -> Iterator[dict[str, httpx.Client]]:
    """Give a client of each kind."""
    with ExitStack() as opened:
        yield {name: opened.enter_context(process.client(name)) for name in NAMES}


def test_webhooks__are_added_and_listed(clients: dict[str, httpx.Client]) -> None:
    """The secret is in the first answer only; who may only read sees no path."""
    shop = clients["shop"]
    body = {"url": URL, "types": ["a.b", "c.*"], "headers": {"X-Team": "red"}}
    answer = shop.post(PATH, json=body)
    assert answer.status_code == 201
    added = answer.json()
    assert added.pop("secret").startswith("whsec_")
    assert (added["url"], added["types"], added["headers"]) == (URL, ["a.b", "c.*"], ["X-Team"])
    assert clients["ann"].get(PATH).json() == {"user": "u1", "webhooks": [added]}
    (masked,) = clients["grafana"].get(PATH).json()["webhooks"]
    assert masked == added | {"url": "https://1.1.1.1/…"}
    problem(clients["grafana"].post(PATH, json=body), 403, "forbidden")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "http://1.1.1.1/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": None}, "url"),
        ({"types": ["a b"]}, "types[0]"),
        ({"types": ""}, "types"),
        ({"headers": []}, "headers"),
        ({"channel": ""}, "channel"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"channel": "mine"}, "channel"),
        ({"more": 1}, "more"),
    ],
)
def test_webhooks__are_refused_by_field(
    clients: dict[str, httpx.Client], changed: dict[str, object], field: str
) -> None:
    """A wrong field is named, and nothing is added."""
    answer = clients["shop"].post(PATH, json={"url": URL, **changed})
    assert problem(answer, 422, "invalid")["errors"][0]["field"] == field
    assert clients["shop"].get(PATH).json()["webhooks"] == []


def test_webhooks__are_changed(clients: dict[str, httpx.Client]) -> None:
    """Each change answers with the endpoint as it is then."""
    ann = clients["ann"]
    added = ann.post(PATH, json={"url": URL}).json()
    one = f"{PATH}/{added['id']}"
    rotated = ann.post(f"{one}/rotate").json()
    assert rotated["secret"] != added["secret"]
    assert rotated["old_secret_until_ms"] > rotated["created_at_ms"]
    assert ann.post(f"{one}/rotate?at_once=true").json()["old_secret_until_ms"] is None
    disabled = ann.post(f"{one}/disable").json()
    assert disabled["disabled_reason"] == "disabled by hand"
    assert ann.post(f"{one}/disable").json() == disabled
    assert ann.post(f"{one}/enable").json()["disabled_at_ms"] is None
    assert ann.get(f"{one}/attempts").json() == {"id": added["id"], "user": "u1", "attempts": []}
    assert ann.delete(one).json() == {"id": added["id"], "user": "u1"}
    assert ann.get(PATH).json()["webhooks"] == []


def test_webhooks__are_tested(server: Server) -> None:
    """The answer of the endpoint is told, whatever it was, and kept among the attempts."""
    settings = toml_settings()
    with webhook_owner() as owner:
        settings |= {f"channels.hooks__{name}": value for name, value in owner.allowed.items()}
        with api_on(server, **settings) as api, api.client() as client:
            added = client.post(PATH, json={"url": owner.url, "types": ["a.b"]}).json()
            one = f"{PATH}/{added['id']}"
            done = client.post(f"{one}/test").json()
            assert (done["outcome"], done["status"], done["response"]) == (
                *("delivered", 200),
                "thanks",
            )
            assert owner.received[0].verified(added["secret"]) == done["webhook_id"]
            owner.status = 500
            assert client.post(f"{one}/test").json()["outcome"] == "transient"
            attempts = client.get(f"{one}/attempts?limit=5").json()["attempts"]
            assert [attempt["status"] for attempt in attempts] == [500, 200]


def test_webhooks__that_are_not_there(clients: dict[str, httpx.Client]) -> None:
    """An endpoint of another user, or none, is not found."""
    ann = clients["ann"]
    other = ann.post("/v1/users/u2/webhooks", json={"url": URL}).json()
    for name in (other["id"], "none"):
        one = f"{PATH}/{name}"
        answers = [ann.post(f"{one}/{verb}") for verb in ("rotate", "enable", "disable", "test")]
        for answer in (*answers, ann.get(f"{one}/attempts"), ann.delete(one)):
            problem(answer, 404, "not-found")


def test_webhooks__are_of_all_producers(server: Server) -> None:
    """Who is bound to a producer may neither read nor change them."""
    tokens = [f"{entry('shop', 'producer+operator')}:producer=p"]
    with api_on(server, http__tokens=tokens, **toml_settings()) as api, api.client("shop") as shop:
        for answer in (shop.get(PATH), shop.post(PATH, json={"url": URL})):
            problem(answer, 403, "forbidden")


def test_webhooks__of_a_deployment_without_any(server: Server) -> None:
    """It says which setting is missing."""
    with api_on(server) as api, api.client() as client:
        answer = client.get(PATH)
        assert "contacts.keys" in problem(answer, 404, "not-found")["detail"]
