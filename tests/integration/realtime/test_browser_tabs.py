"""Several tabs of one browser: one stream for a user, and nothing of it for another user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import GatewayProcess, Publisher, gateway_on
from tests.support.pages import Site, Tab, open_streams
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = requires_chromium


@pytest.fixture
def place(server: Server, site: Site) -> Iterator[GatewayProcess]:
    """Give a gateway that lets the pages of the site in."""
    with gateway_on(server, realtime__allowed_origins=[site.origin]) as made:
        yield made


@pytest.fixture
def send(place: GatewayProcess) -> Iterator[Publisher]:
    """Give what publishes events to the users of that gateway."""
    with place.server.client() as client:
        yield Publisher(client)


def _leader(tabs: Sequence[Tab]) -> Tab:
    """Return the tab that reads for the others, as soon as one does."""
    (found,) = wait_until(lambda: [tab for tab in tabs if tab.leads], "one of the tabs reads")
    return found


def test_tabs_of_one_user__share_one_stream(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """All of them see every event; the end of the one that reads leaves no gap for the others."""
    address = site.page(place.url, "u1")
    tabs = [Tab(chromium, profile, address).live() for _ in range(3)]
    wait_until(lambda: open_streams(place) == 1, "streams: 1")
    numbers = send(*["u1"] * 3)
    for tab in tabs:
        tab.wait_for(*numbers)
    while len(tabs) > 1:
        leader = _leader(tabs)
        send("u1")
        leader.close()
        tabs.remove(leader)
        send(*["u1"] * 3)
        for tab in tabs:
            tab.wait_for(*range(1, send.last + 1))
    assert tabs[0].numbers == list(range(1, 12))
    assert tabs[0].all("reset") == []
    wait_until(lambda: open_streams(place) == 1, "one stream is left")


def test_tab__that_reloads_reads_what_it_alone_has_missed(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """While it loads, the others are given events; it is given them too, and they are not twice."""
    address = site.page(place.url, "u1")
    first, second = (Tab(chromium, profile, address).live() for _ in range(2))
    for turn in range(1, 6):
        send("u1")
        second.wait_for(send.last)
        with site.holding_client():
            second.reload()
            wait_until(lambda: site.held, "the tab has left, and loads")
            send("u1", "u1")
            first.wait_for(*range(1, send.last + 1))
        second.wait_for(*range(1, send.last + 1))
        send("u1")
        for tab in (first, second):
            tab.wait_for(send.last)
        assert first.numbers == second.numbers == list(range(1, 4 * turn + 1))
    wait_until(lambda: open_streams(place) == 1, "only one stream stays")


def test_two_users__in_two_tabs_of_one_origin(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """No event of one is ever shown to the other: not live, not after a reload or a closed tab."""
    users = ("u1", "u2")
    tabs = [(user, Tab(chromium, profile, site.page(place.url, user)).live()) for user in users * 2]
    own: dict[str, list[int]] = {user: [] for user in users}

    def exchange() -> None:
        for _ in range(10):
            for user, number in zip(users, send(*users), strict=True):
                own[user].append(number)
        for user, tab in tabs:
            tab.wait_for(*own[user])
            assert tab.numbers == own[user]

    exchange()
    wait_until(lambda: open_streams(place) == 2, "streams: 2")
    for _, tab in tabs:
        tab.reload()
    exchange()
    for user in users:
        leader = _leader([tab for owner, tab in tabs if owner == user])
        leader.close()
        tabs.remove((user, leader))
    exchange()


def test_tab_of_another_profile__has_its_own_stream(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """Browsers share nothing; each is given all."""
    address = site.page(place.url, "u1")
    with chromium.profile() as other:
        tabs = [Tab(chromium, name, address).live() for name in (profile, other)]
        wait_until(lambda: open_streams(place) == 2, "streams: 2")
        send("u1", "u1")
        for tab in tabs:
            tab.wait_for(1, 2)
            assert tab.numbers == [1, 2]


@pytest.mark.parametrize("missing", ["navigator.locks", "BroadcastChannel"])
def test_tabs__without_locks_or_channels_have_a_stream_each(
    chromium: Chromium,
    profile: str,
    site: Site,
    place: GatewayProcess,
    send: Publisher,
    missing: str,
) -> None:
    """Where either is missing, nothing is shared and nothing is lost."""
    address = site.page(place.url, "u1", lacks=missing)
    tabs = [Tab(chromium, profile, address).live() for _ in range(2)]
    wait_until(lambda: open_streams(place) == 2, "streams: 2")
    send("u1")
    tabs[0].wait_for(1)
    tabs[0].reload()
    send("u1")
    for tab in tabs:
        tab.wait_for(1, 2)
        assert tab.numbers == [1, 2]


@pytest.mark.extended
def test_frozen_tab__loses_the_stream_to_one_that_works(
    chromium: Chromium, profile: str, site: Site, server: Server
) -> None:
    """A browser may freeze a tab in the background; when it works again it misses nothing."""
    running = gateway_on(server, realtime__allowed_origins=[site.origin], realtime__ping_ms=1000)
    with running as place, server.client() as client:
        send = Publisher(client)
        address = site.page(place.url, "u1", silence=4000)
        first, second = (Tab(chromium, profile, address).live() for _ in range(2))
        first.freeze(True)
        second.wait_for(*send("u1", "u1"))
        first.freeze(False)
        send("u1")
        for tab in (first, second):
            tab.wait_for(1, 2, 3)
            assert tab.numbers == [1, 2, 3]
        wait_until(lambda: open_streams(place) == 1, "one stream is left")
