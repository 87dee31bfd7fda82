"""A bell in Chromium: the devices and tabs of a user count the same, whichever of them marks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import restart
from tests.support.own_feeds import PATH, FeedGateways, feed_gateways
from tests.support.pages import Site, Tab
from tests.support.postgres import Postgres
from tests.support.servers import Server, free_port

pytestmark = requires_chromium

_ASK = """(async () => {
  const token = await (await fetch("/token?user=u1")).text();
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


def test_bell__counts_the_same_on_all_pages(
    chromium: Chromium, site: Site, places: FeedGateways
) -> None:
    """What arrives, and what one of them marks; also behind a restart of the gateway."""
    (gateway,) = places.gateways
    with ExitStack() as stack:
        profiles = [stack.enter_context(chromium.profile()) for _ in range(2)]
        address = site.page(gateway.url, "u1")
        tabs = [Tab(chromium, one, address).live() for one in (*profiles, profiles[0])]

        def expect(unread: int, unseen: int) -> None:
            for tab in tabs:
                tab.wait(lambda tab=tab: _badge(tab) == (unread, unseen), "the badge is right")

        ids = places.publish("u1", 3)
        expect(3, 3)
        for tab in tabs:
            tab.wait(lambda tab=tab: len(tab.all("notification")) == 3, "all have arrived")
            page = _ask(tab, gateway.url, "?limit=2")
            assert [item["notification_id"] for item in page["items"]] == ids[:2]
        _ask(tabs[0], gateway.url, "/seen", f"{{ all: true, until: '{ids[0]}' }}")
        expect(3, 0)
        answer = _ask(tabs[1], gateway.url, "/read", f"{{ ids: ['{ids[0]}'] }}")
        assert answer["unread"] == 2
        expect(2, 0)
        restart(gateway, "killed")
        _ask(tabs[2], gateway.url, "/archive", f"{{ ids: ['{ids[1]}'] }}")
        expect(1, 0)
        places.publish("u1")
        expect(2, 1)
        for tab in tabs:
            assert _ask(tab, gateway.url, "/counts") == tab.all("counts")[-1]
            assert tab.all("reset") == []
