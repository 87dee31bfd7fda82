"""Retracting over HTTP: what was delivered is taken back, by those who may."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from galaxy_notify.feed import Feed
from tests.support.api import INTENT, PATH, ApiProcess, api_on, clients_of, entry, problem
from tests.support.direct_feeds import items
from tests.support.postgres import Postgres
from tests.support.servers import Server

ID = f"{7:032x}"
LATER = INTENT | {"producer": "lobby", "due_at": 2 * 10**12, "recipients": ["u1", "u2"]}
TURN: dict[str, Any] = {"type": "game.turn", "producer": "lobby"}


@pytest.fixture
def process(server: Server, feed_database: Postgres) -> Iterator[ApiProcess]:
    """Start an API with a feed; `shop` is bound to lobby, `ann` to nothing, `grafana` reads."""
    tokens = [
        f"{entry('shop', 'producer')}:producer=lobby",
        entry("ann", "operator"),
        entry("grafana", "read-only"),
    ]
    with api_on(server, http__tokens=tokens, feed__url=feed_database.url) as api:
        yield api


@pytest.fixture
def clients(process: ApiProcess) -> Iterator[dict[str, httpx.Client]]:
    """Give a client of each kind."""
    with clients_of(process, "shop", "ann", "grafana") as opened:
        yield opened


@pytest.fixture
def feed(process: ApiProcess, server: Server, feed_database: Postgres) -> Iterator[Feed]:
    """Give the feed, to publish in."""
    with Feed.from_url(feed_database.url, redis=server.url) as opened:
        yield opened


def test_retract__takes_back_what_was_accepted(clients: dict[str, httpx.Client]) -> None:
    """A producer its own: waiting routes are cancelled; again is as once."""
    shop = clients["shop"]
    made = shop.post(PATH, json=LATER).json()["notification_id"]
    expected = {"notification_id": made, "users": 2, "cancelled": 2}
    for name in (made, f"{made}.2", made):
        done = shop.post(f"{PATH}/{name}:retract")
        assert (done.status_code, done.json()) == (200, expected)


def test_retract__takes_back_what_was_published(
    clients: dict[str, httpx.Client], feed: Feed
) -> None:
    """Also what no route ever had; that of another producer is not found."""
    feed.publish("u1", **TURN, notification_id=ID)
    feed.publish("u1", type="t", producer="game", notification_id="f" * 32)
    problem(clients["shop"].post(f"{PATH}/{'f' * 32}:retract"), 404, "not-found")
    assert clients["shop"].post(f"{PATH}/{ID}:retract").json()["users"] == 1
    assert [item.notification_id for item in items(feed, "u1")] == ["f" * 32]
    assert clients["ann"].post(f"{PATH}/{'f' * 32}:retract").json()["users"] == 1
    assert items(feed, "u1") == []


def test_retract__is_not_for_everybody(clients: dict[str, httpx.Client]) -> None:
    """Readers may not; other producers' notifications are as if they were not there."""
    made = clients["ann"].post(PATH, json=LATER)
    problem(made, 403, "forbidden")
    made = clients["shop"].post(PATH, json=LATER).json()["notification_id"]
    problem(clients["grafana"].post(f"{PATH}/{made}:retract"), 403, "forbidden")
    assert clients["ann"].post(f"{PATH}/{made}:retract").json()["cancelled"] == 2


@pytest.mark.parametrize("name", ["0" * 32, "nope", "%00", "0" * 5000, f"{ID}:retract"])
def test_unknown_notification__is_404(clients: dict[str, httpx.Client], name: str) -> None:
    """An id that names nothing, or is none, is not found."""
    problem(clients["ann"].post(f"{PATH}/{name}:retract"), 404, "not-found")


def test_outage__says_which_half_is_done(
    clients: dict[str, httpx.Client], feed: Feed, server: Server
) -> None:
    """Redis away is 503, with the half in Postgres done; the same request does the rest."""
    feed.publish("u1", **TURN, notification_id=ID)
    server.pause()
    try:
        told = problem(clients["ann"].post(f"{PATH}/{ID}:retract"), 503, "unavailable")
    finally:
        server.resume()
    assert told["detail"].startswith("retracted in the feed, not in the streams; repeat it: ")
    assert told["notification_id"] == ID
    assert items(feed, "u1") == []


def test_new_deployment__is_found_at_once(process: ApiProcess, server: Server) -> None:
    """Whatever was asked for before its first notification, that one can be retracted."""
    with process.client("ann") as ann, process.client("shop") as shop, server.client() as client:
        client.flushall()
        for _ in range(3):
            problem(ann.post(f"{PATH}/{ID}:retract"), 404, "not-found")
        made = shop.post(PATH, json=LATER).json()["notification_id"]
        assert ann.post(f"{PATH}/{made}:retract").json()["cancelled"] == 2
