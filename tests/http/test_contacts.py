"""Contacts over HTTP: what the command line does, masked for who may only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.api import ApiProcess, api_on, entry, problem
from tests.support.contacts import EMAIL, HOOK, HOOKED, toml_settings
from tests.support.servers import Server

PATH = "/v1/users/u1/contacts"
MINE = {"channel": "mine", "address": EMAIL}
NAMES = ("shop", "ann", "grafana")


@pytest.fixture
def process(server: Server) -> Iterator[ApiProcess]:
    """Start an API that stores contacts."""
    tokens = [entry("shop", "producer"), entry("ann", "operator"), entry("grafana", "read-only")]
    with api_on(server, http__tokens=tokens, **toml_settings()) as api:
        yield api


@pytest.fixture
def clients(process: ApiProcess) -> Iterator[dict[str, httpx.Client]]:
    """Give a client of each kind."""
    with ExitStack() as opened:
        yield {name: opened.enter_context(process.client(name)) for name in NAMES}


def test_contacts__are_put_and_read(clients: dict[str, httpx.Client]) -> None:
    """A list replaces those of its channels; an object names channels beside it."""
    shop = clients["shop"]
    assert shop.get(PATH).json() == {"user": "u1", "contacts": []}
    put = shop.put(PATH, json=[HOOKED, MINE]).json()
    assert put["changed"] is True
    assert [one["address"] for one in put["contacts"]] == [HOOK, EMAIL]
    assert put["contacts"][0]["data"] == {"secrets": "********"}
    assert shop.put(PATH, json=[MINE]).json()["changed"] is False
    assert clients["ann"].get(PATH).json()["contacts"] == put["contacts"]
    left = shop.put(PATH, json={"channels": ["hooks"], "contacts": [MINE]}).json()
    assert [one["channel"] for one in left["contacts"]] == ["mine"]
    assert shop.put(PATH, json={"channels": ["mine"]}).json()["contacts"] == []


def test_contacts__are_masked_for_readers(clients: dict[str, httpx.Client]) -> None:
    """Who may only read sees no address, and changes nothing."""
    clients["shop"].put(PATH, json=[MINE])
    (shown,) = clients["grafana"].get(PATH).json()["contacts"]
    assert shown["address"] == "a…@example.com"
    problem(clients["grafana"].put(PATH, json=[MINE]), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([MINE | {"address": 1}], "[0].address"),
        ([MINE, MINE], "[1].address"),
        ({"contacts": [MINE | {"channel": "push"}]}, "[0].channel"),
        ({"channels": ["push"]}, "channel"),
        ({"channels": "mine"}, "channels"),
        ({"more": 1}, "more"),
        (7, ""),
    ],
)
def test_contacts__are_refused_by_field(
    clients: dict[str, httpx.Client], body: object, field: str
) -> None:
    """A wrong field is named, and nothing is stored."""
    answer = clients["shop"].put(PATH, json=body)
    assert answer.status_code in (409, 422)
    assert answer.json()["errors"][0]["field"] == field
    assert clients["shop"].get(PATH).json()["contacts"] == []


def test_contacts__are_of_all_producers(server: Server) -> None:
    """Who is bound to a producer may neither read nor change them."""
    tokens = [f"{entry('shop', 'producer+operator')}:producer=p"]
    with api_on(server, http__tokens=tokens, **toml_settings()) as api, api.client("shop") as shop:
        for answer in (shop.get(PATH), shop.put(PATH, json=[MINE])):
            problem(answer, 403, "forbidden")


def test_contacts__of_a_deployment_without_keys(server: Server) -> None:
    """It stores none, and says which setting is missing."""
    with api_on(server) as api, api.client() as client:
        for answer in (client.get(PATH), client.put(PATH, json=[])):
            assert "contacts.keys" in problem(answer, 404, "not-found")["detail"]
