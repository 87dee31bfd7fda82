"""A bell in Chromium: the devices and tabs of a user show the same, whichever of them marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.events import notification_id
from tests.support.feeds import FeedProcess, drift, feed_on, publish
from tests.support.gateways import restart
from tests.support.own_feeds import PATH, FeedGateways, feed_gateways
from tests.support.pages import Site, Tab
from tests.support.postgres import Postgres
from tests.support.servers import Server, free_port

pytestmark = requires_chromium

_ASK = """(async () => {
  const token = await (await fetch("/token?user=u0")).text();
  const headers = { Authorization: `Bearer ${token}` };
  const body = %s;
  if (body) headers["Content-Type"] = "application/json";
  const how = { headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body) };
  return (await fetch(%r, how)).json();
})()"""


@pytest.fixture
def places(server: Server, feed_database: Postgres, site: Site) -> Iterator[FeedGateways]:
    """Give a gateway that lets the pages of the site in, and comes back on its port."""
    settings: dict[str, Any] = {
        "realtime__allowed_origins": [site.origin],
        "realtime__port": free_port(),
        "realtime__presence_ttl_ms": 3000,
    }
    with feed_gateways(server, feed_database, **settings) as made:
        yield made


def _ask(tab: Tab, url: str, path: str = "", body: str = "null") -> Any:
    """Have a page ask its gateway, and return what it read."""
    return tab.evaluate(_ASK % (body, f"{url}{PATH}{path}"))


def _badge(tab: Tab) -> tuple[int, int] | None:
    """Return how many items the page counts as unread and unseen."""
    counts = tab.all("counts")
    return (counts[-1]["unread"], counts[-1]["unseen"]) if counts else None


def _expect(tabs: Sequence[Tab], unread: int, unseen: int) -> None:
    for tab in tabs:
        tab.wait(lambda tab=tab: _badge(tab) == (unread, unseen), "the badge is right")


def test_bell__counts_the_same_on_all_pages(
    chromium: Chromium, site: Site, places: FeedGateways
) -> None:
    """What arrives, and what one of them marks; also behind a restart of the gateway."""
    (gateway,) = places.gateways
    with ExitStack() as stack:
        profiles = [stack.enter_context(chromium.profile()) for _ in range(2)]
        address = site.page(gateway.url, "u0")
        tabs = [Tab(chromium, one, address).live() for one in (*profiles, profiles[0])]
        ids = places.publish("u0", 3)
        _expect(tabs, 3, 3)
        for tab in tabs:
            tab.wait(lambda tab=tab: len(tab.all("notification")) == 3, "all have arrived")
            page = _ask(tab, gateway.url, "?limit=2")
            assert [item["notification_id"] for item in page["items"]] == ids[:2]
        _ask(tabs[0], gateway.url, "/seen", f"{{ all: true, until: '{ids[0]}' }}")
        _expect(tabs, 3, 0)
        answer = _ask(tabs[1], gateway.url, "/read", f"{{ ids: ['{ids[0]}'] }}")
        assert answer["unread"] == 2
        _expect(tabs, 2, 0)
        restart(gateway, "killed")
        _ask(tabs[2], gateway.url, "/archive", f"{{ ids: ['{ids[1]}'] }}")
        _expect(tabs, 1, 0)
        places.publish("u0")
        _expect(tabs, 2, 1)
        for tab in tabs:
            assert _ask(tab, gateway.url, "/counts") == tab.all("counts")[-1]
            assert tab.all("reset") == []


@pytest.fixture
def writer(server: Server, feed_database: Postgres, places: FeedGateways) -> Iterator[FeedProcess]:
    """Give a writer of the deployment that the gateway serves."""
    assert places.gateways
    with feed_on(server, feed_database) as process:
        process.wait_for("feed writing")
        yield process


def test_bell__shows_the_same_over_restarts_of_gateway_and_writer(
    chromium: Chromium,
    site: Site,
    server: Server,
    feed_database: Postgres,
    places: FeedGateways,
    writer: FeedProcess,
) -> None:
    """What comes by the stream, and what is read on one page while the writer is away."""
    (gateway,) = places.gateways
    first, second, third = (notification_id(number) for number in (1, 2, 3))
    with server.client() as admin, chromium.profile() as one, chromium.profile() as two:
        address = site.page(gateway.url, "u0")
        tabs = [Tab(chromium, profile, address).live() for profile in (one, two)]
        publish(admin, [1, 2], users=1)
        _expect(tabs, 2, 2)
        for tab in tabs:
            # The writer counts them, the gateway shows them: neither waits for the other.
            tab.wait_for(1, 2)
        _ask(tabs[0], gateway.url, "/read", f"{{ ids: ['{first}'] }}")
        _expect(tabs, 1, 1)
        assert [_read(tab, gateway.url) for tab in tabs] == [{first}] * 2
        gateway.kill()
        writer.kill()
        publish(admin, [3], users=1)
        gateway.start()
        for tab in tabs:
            tab.live(2).wait_for(3)
        _ask(tabs[1], gateway.url, "/read", f"{{ ids: ['{second}'] }}")
        _expect(tabs, 0, 0)
        assert [_read(tab, gateway.url) for tab in tabs] == [{first, second}] * 2
        writer.start()
        _expect(tabs, 1, 1)
        _ask(tabs[0], gateway.url, "/read", f"{{ ids: ['{third}'] }}")
        _expect(tabs, 0, 0)
        assert [_read(tab, gateway.url) for tab in tabs] == [{first, second, third}] * 2
        assert [tab.numbers for tab in tabs] == [[1, 2, 3]] * 2
        assert [tab.all("reset") for tab in tabs] == [[]] * 2
    assert not drift(feed_database)


def _read(tab: Tab, url: str) -> set[str]:
    """Return what a page lists as read."""
    items = _ask(tab, url)["items"]
    return {item["notification_id"] for item in items if item["read_at_ms"] is not None}
