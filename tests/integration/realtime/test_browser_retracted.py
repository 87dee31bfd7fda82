"""Notifications that are taken back, in Chromium: on open pages, and on one that is offline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.feed import Feed
from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import GatewayProcess, gateway_on
from tests.support.pages import Site, Tab
from tests.support.postgres import Postgres
from tests.support.program import program
from tests.support.servers import Server

pytestmark = requires_chromium


@pytest.fixture
def place(server: Server, site: Site, feed_database: Postgres) -> Iterator[GatewayProcess]:
    """Give a gateway with a feed that lets the pages of the site in."""
    origins, url = [site.origin], feed_database.url
    with gateway_on(server, realtime__allowed_origins=origins, feed__url=url) as made:
        yield made


@pytest.fixture
def feed(place: GatewayProcess, feed_database: Postgres) -> Iterator[Feed]:
    """Give the feed, to publish in."""
    with Feed.from_url(feed_database.url, redis=place.server.url) as opened:
        yield opened


def _publish(feed: Feed, number: int) -> str:
    about: dict[str, Any] = {"type": "t", "producer": "p", "data": {"number": number}}
    return str(feed.publish("u1", **about).notification_id)


def test_retracted__disappears_from_every_page(
    chromium: Chromium,
    site: Site,
    place: GatewayProcess,
    feed: Feed,
    feed_database: Postgres,
) -> None:
    """Two browsers of a user are told so; a page that was offline as well, and is not shown more.

    The badge counts what is left.
    """
    with chromium.profile() as first, chromium.profile() as second, chromium.profile() as third:
        address = site.page(place.url, "u1")
        tabs = [Tab(chromium, profile, address).live() for profile in (first, second, third)]
        *online, away = tabs
        seen = _publish(feed, 1)
        for tab in tabs:
            tab.wait_for(1)
        away.set_offline(True)
        away.wait(lambda: away.states[-1] == "connecting", "the page is offline")
        unseen, _ = _publish(feed, 2), _publish(feed, 3)
        for tab in online:
            tab.wait_for(2, 3)
        for name in (seen, unseen):
            settings = {
                "GALAXY_NOTIFY_WORKER__SHARDS": "2",
                "GALAXY_NOTIFY_FEED__URL": feed_database.url,
            }
            done = program(place.server, "retract", name, **settings)
            assert done.returncode == 0, done.stderr
        away.set_offline(False)
        away.live(2)
        for tab in tabs:
            tab.wait(lambda tab=tab: _taken_back(tab) == {seen, unseen}, "both are taken back")
            tab.wait(lambda tab=tab: tab.all("counts")[-1]["unread"] == 1, "one is unread")
            tab.wait_for(1, 3)
            assert tab.all("reset") == []
        assert [tab.numbers for tab in tabs] == [[1, 2, 3], [1, 2, 3], [1, 3]]


def _taken_back(tab: Tab) -> set[str]:
    return {value["notification_id"] for value in tab.all("retract")}
