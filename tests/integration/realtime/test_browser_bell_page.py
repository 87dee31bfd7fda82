"""The bell page of a gateway: live, in frames of listed pages, for the user that the page names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.bell_pages import running_sites
from tests.support.chromium import Chromium, Page, requires_chromium
from tests.support.feeds import migrate
from tests.support.gateways import gateways_on
from tests.support.own_feeds import FeedGateways, feed_gateways
from tests.support.postgres import Postgres, PostgresServer
from tests.support.servers import main_server, running
from tests.support.wait import wait_until

pytestmark = requires_chromium

_SHOWN = """(() => {
  const lines = [...document.querySelectorAll("#list li")];
  const badge = document.getElementById("badge");
  const shown = (line) => [line.querySelector("strong").textContent, line.matches(".unread")];
  return {
    badge: badge.hidden ? "" : badge.textContent,
    state: document.getElementById("state").textContent,
    list: lines.map(shown),
  };
})()"""


@dataclass(frozen=True)
class Place:
    """A gateway with a bell, a page that may frame it, and one that may not."""

    feeds: FeedGateways
    listed: str
    other: str

    @property
    def gateway(self) -> str:
        """Where the gateway is."""
        return self.feeds.gateways[0].url


@pytest.fixture(scope="module")
def place(postgres_server: PostgresServer) -> Iterator[Place]:
    """Give a gateway with a bell."""
    postgres_server.ensure_running()
    database = Postgres(postgres_server, postgres_server.create_database())
    migrate(database)
    with (
        running_sites(2) as (listed, other),
        running(main_server()) as server,
        feed_gateways(server, database, 1, realtime__bell_origins=[listed]) as feeds,
    ):
        yield Place(feeds, listed, other)


class BellPage(Page):
    """A page with a bell in a frame."""

    def show(self, place: Place, site: str, user: str, more: str = "") -> None:
        """Open the page of a site."""
        self.goto(f"{site}/?gateway={place.gateway}&user={user}{more}")
        wait_until(lambda: self._frames(place), "the frame has been loaded")

    def _frames(self, place: Place) -> list[str]:
        tree = self.command("Page.getFrameTree")["frameTree"]
        frames = [child["frame"] for child in tree.get("childFrames", [])]
        addresses = (f"{place.gateway}/bell", "chrome-error://chromewebdata/")
        return [frame["id"] for frame in frames if frame["url"] in addresses]

    def bell(self, place: Place, expression: str) -> Any:
        """Return the value of an expression in the frame."""
        (frame,) = self._frames(place)
        made = self.command("Page.createIsolatedWorld", frameId=frame)
        asked = {"expression": expression, "contextId": made["executionContextId"]}
        answer = self.command("Runtime.evaluate", returnByValue=True, **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def expect(self, place: Place, **shown: Any) -> None:
        """Wait until the bell shows this, and fail with what it shows."""
        found: dict[str, Any] = {}

        def is_shown() -> bool:
            found.update(self.bell(place, _SHOWN))
            return found | shown == found

        try:
            wait_until(is_shown, f"the bell shows {shown}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from error


def test_bell_page__shows_counts_and_marks(
    chromium: Chromium, profile: str, place: Place, user: str
) -> None:
    """What was there and what comes, what is read here, and what is taken back."""
    page = BellPage(chromium, profile)
    page.command("Emulation.setFocusEmulationEnabled", enabled=True)
    (first,) = place.feeds.publish(user, title="First")
    page.show(place, place.listed, user)
    page.expect(place, badge="1", state="live", list=[["First", True]])
    place.feeds.publish(user, title="Second")
    page.expect(place, badge="2", list=[["Second", True], ["First", True]])
    page.bell(place, "document.querySelectorAll('.mark')[1].click()")
    page.expect(place, badge="1", list=[["Second", True], ["First", False]])
    place.feeds.feed.retract(first)
    page.expect(place, badge="1", list=[["Second", True]])
    page.bell(place, "document.getElementById('all').click()")
    page.expect(place, badge="", list=[["Second", False]])
    place.feeds.publish(user, 120, title="Many")
    page.expect(place, badge="99+", list=[["Many", True]] * 50)
    heard = page.evaluate("heard.map(({ galaxyNotify }) => galaxyNotify)")
    assert {"token", "status", "counts", "shown", "rang", "retracted"} == {*heard}
    # One token is enough for all that is asked while it is valid.
    assert heard.count("token") <= 3
    assert page.records == []


def test_bell_page__is_shown_by_listed_pages_only(
    chromium: Chromium, profile: str, place: Place, user: str
) -> None:
    """Elsewhere the browser shows an error in its place."""
    page = BellPage(chromium, profile)
    place.feeds.publish(user, title="First")
    page.show(place, place.other, user)
    wait_until(lambda: page.bell(place, "document.readyState") == "complete", "it is loaded")
    assert page.bell(place, "document.getElementById('bell')") is None
    assert page.evaluate("heard") == []


def test_bell_page__begins_when_it_is_told_to(
    chromium: Chromium, profile: str, place: Place, user: str
) -> None:
    """It asks for no token before, and believes no other window afterwards."""
    page = BellPage(chromium, profile)
    place.feeds.publish(user, title="First")
    page.show(place, place.listed, user, "&silent=1")
    wait_until(lambda: page.bell(place, "document.readyState") == "complete", "the frame is loaded")
    for message in ("'open'", "{}", "null", "{ galaxyNotify: 'retry' }", "{ galaxyNotify: {} }"):
        page.evaluate(f"say({message})")
    # The window of the bell itself is none that it listens to.
    page.bell(place, "postMessage({ galaxyNotify: 'open' }, '*')")
    assert page.evaluate("heard") == []
    page.evaluate("say({ galaxyNotify: 'open' })")
    page.expect(place, badge="1", state="live", list=[["First", True]])
    assert page.records == []


def test_bell__is_there_only_with_origins_and_a_feed(place: Place) -> None:
    """Its files are as the browser client's: read by anybody, and kept while they are true."""
    with place.feeds.gateways[0].client() as client:
        for path in ("/bell", "/bell.css", "/bell.js"):
            answer = client.get(path)
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert policy.endswith(f"frame-ancestors {place.listed}")
            kept = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert (kept.status_code, kept.content) == (304, b"")
            assert client.post(path).status_code == 405
    server = place.feeds.gateways[0].server
    origins = [place.listed]
    with (
        gateways_on(server, 1, realtime__bell_origins=origins) as (without_feed,),
        without_feed.client() as client,
    ):
        assert client.get("/bell").status_code == 404
