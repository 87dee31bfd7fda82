"""Forgetting a user over HTTP: what the command line does, for operators of everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from galaxy_notify.feed import Feed
from tests.support.api import INTENT, PATH, ApiProcess, api_on, clients_of, entry, problem
from tests.support.direct_feeds import PLAIN, items
from tests.support.postgres import Postgres
from tests.support.servers import Server

LATER = INTENT | {"due_at": 2 * 10**12, "channels": ["push"]}


@pytest.fixture
def process(server: Server, feed_database: Postgres) -> Iterator[ApiProcess]:
    """Start an API with a feed; `shop` is an operator bound to a producer, `ann` to none."""
    tokens = [
        f"{entry('shop', 'producer+operator')}:producer=p",
        entry("ann", "producer+operator"),
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


def test_forget__deletes_what_is_kept(clients: dict[str, httpx.Client], feed: Feed) -> None:
    """Keys, rows and waiting routes; again finds nothing."""
    ann = clients["ann"]
    ann.post(PATH, json=LATER)
    ann.post("/v1/users/u1/preferences/silence")
    feed.publish("u1", **PLAIN)
    told: dict[str, Any] = ann.delete("/v1/users/u1").json()
    assert (told["user"], told["cancelled"], told["rows"], told["complete"]) == ("u1", 1, 1, True)
    assert [name for name, was_there in told["keys"].items() if was_there] == [
        "recent_list",
        "unread_mark",
        "preferences",
    ]
    assert "cooldowns" in [one["what"] for one in told["remaining"]]
    assert items(feed, "u1") == []
    again = ann.delete("/v1/users/u1").json()
    assert (again["cancelled"], again["rows"], any(again["keys"].values())) == (0, 0, False)


def test_forget__is_for_operators_of_all_producers(clients: dict[str, httpx.Client]) -> None:
    """A user is of every producer: whoever is bound to one may not, nor may a reader."""
    for name in ("shop", "grafana"):
        problem(clients[name].delete("/v1/users/u1"), 403, "forbidden")
    problem(clients["ann"].delete("/v1/users/-"), 422, "invalid")


def test_outage__says_which_half_is_done(
    clients: dict[str, httpx.Client], feed: Feed, server: Server, feed_database: Postgres
) -> None:
    """Redis or Postgres away is 503; the other half is done, and the same request does the rest."""
    ann = clients["ann"]
    feed.publish("u1", **PLAIN)
    server.pause()
    try:
        told = problem(ann.delete("/v1/users/u1"), 503, "unavailable")
    finally:
        server.resume()
    assert told["detail"].startswith("deleted in Postgres, not in Redis; repeat it: ")
    assert items(feed, "u1") == []
    feed_database.server.pause()
    try:
        told = problem(ann.delete("/v1/users/u1"), 503, "unavailable")
    finally:
        feed_database.server.resume()
    assert told["detail"].startswith("deleted in Redis, not in Postgres; repeat it: ")
    assert ann.delete("/v1/users/u1").status_code == 200
