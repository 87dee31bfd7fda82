"""The browser client in Chromium, on a page of another origin than the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import GatewayProcess, Publisher, gateway_on
from tests.support.pages import Site, Tab, open_streams
from tests.support.program import program
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = requires_chromium


@pytest.fixture
def place(server: Server, site: Site) -> Iterator[GatewayProcess]:
    """Give a gateway that lets the pages of the site in."""
    origins = [site.origin]
    own = gateway_on(server, realtime__allowed_origins=origins, realtime__jwt_leeway_ms=0)
    with own as made:
        yield made


@pytest.fixture
def send(place: GatewayProcess) -> Iterator[Publisher]:
    """Give what publishes events to the users of that gateway."""
    with place.server.client() as client:
        yield Publisher(client)


def _resumed(place: GatewayProcess) -> float:
    found = place.metric("galaxy_notify_realtime_streams_total")
    return found.get('{result="resumed"}', 0)


def test_page__is_given_events_and_goes_on_after_a_reload(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """The client comes from the gateway; what happens while the page loads is there afterwards."""
    address = site.page(place.url, "u1", client=f"{place.url}/client.js")
    tab = Tab(chromium, profile, address).live()
    tab.wait_for(*send(*["u1"] * 3))
    for reload in range(1, 4):
        send("u1")
        tab.reload()
        send("u1", "u1")
        tab.live(reload + 1)
        send("u1")
        tab.wait_for(*range(1, send.last + 1))
    assert tab.numbers == list(range(1, 16))
    assert tab.all("reset") == []
    assert _resumed(place) == 3
    assert site.tokens["u1"] >= 4


def test_close__ends_the_stream_for_good(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """The page is told so, and is given nothing more."""
    tab = Tab(chromium, profile, site.page(place.url, "u1")).live()
    tab.evaluate("handle.close()")
    wait_until(lambda: open_streams(place) == 0, "the stream ends")
    assert (tab.states[-1], tab.evaluate("handle.state")) == ("closed", "closed")
    assert tab.states.count("closed") == 1
    send("u1")
    tab.reload()
    tab.wait_for(1)


def test_handler__that_raises_stops_nothing(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """The browser reports the error of a page, and the next event comes."""
    address = site.page(place.url, "u1", raises="onNotification")
    tab = Tab(chromium, profile, address).live()
    send("u1", "u1")
    tab.wait(lambda: len(tab.all("raised")) == 2, "both errors are reported")


def test_token__that_expires_is_replaced(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """Each connection asks for a token; the events between two of them are not lost."""
    site.lifetime_s = 2
    tab = Tab(chromium, profile, site.page(place.url, "u1")).live()
    asked = site.tokens["u1"]
    tab.wait(lambda: "expired" in tab.reasons, "the gateway says that the token has expired")
    send("u1", "u1")
    site.lifetime_s = 600
    tab.live(2)
    send("u1")
    tab.wait_for(1, 2, 3)
    assert tab.numbers == [1, 2, 3]
    assert site.tokens["u1"] > asked


def test_logout__ends_all_tabs_for_good(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess
) -> None:
    """Those that have no stream of their own as well; what was kept of the user is removed."""
    tabs = [Tab(chromium, profile, site.page(place.url, "u1")).live() for _ in range(2)]
    other = Tab(chromium, profile, site.page(place.url, "u2")).live()
    done = program(place.server, "users", "logout", "u1", GALAXY_NOTIFY_WORKER__SHARDS="2")
    assert done.returncode == 0, done.stderr
    for tab in tabs:
        tab.wait(lambda tab=tab: tab.states[-1] == "closed", "the tab is closed")
        assert tab.reasons[-1] == "logout"
        assert tab.stored == []
    wait_until(lambda: open_streams(place) == 1, "only the other user's stream is left")
    assert "closed" not in other.states


def test_token_of_another_user__ends_the_client(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """A page that changed its user must connect again: nothing is shown to the wrong one."""
    site.lifetime_s = 2
    tab = Tab(chromium, profile, site.page(place.url, "u1")).live()
    site.signed_in = "u2"
    tab.wait(lambda: tab.states[-1] == "closed", "the client ends")
    send("u2")
    assert tab.reasons[-1] == "user"
    assert tab.numbers == []


def test_refused_token__is_asked_for_again(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """After 401 the client goes on asking, until a token is accepted."""
    site.lifetime_s = -5
    tab = Tab(chromium, profile, site.page(place.url, "u1"))
    tab.wait(lambda: "unauthorized" in tab.reasons, "the token is refused")
    site.lifetime_s = 600
    tab.live()
    send("u1")
    tab.wait_for(1)
