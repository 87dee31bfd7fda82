"""The browser client while the network, the gateway and Redis go away and come back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.balancer import balancing
from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import GatewayProcess, Publisher, gateway_on, publishing, restart
from tests.support.pages import Site, Tab, open_streams
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

pytestmark = [requires_chromium, pytest.mark.extended]

#: How often each gateway is restarted.
RESTARTS = 10


@pytest.fixture
def place(own_server: Server, site: Site) -> Iterator[GatewayProcess]:
    """Give a gateway that comes back on its port, on a server that may be killed."""
    own: dict[str, Any] = {"realtime__allowed_origins": [site.origin]}
    with gateway_on(own_server, **own, realtime__port=free_port()) as made:
        yield made


@pytest.fixture
def send(place: GatewayProcess) -> Iterator[Publisher]:
    """Give what publishes events to the users of that gateway."""
    with place.server.client() as client:
        yield Publisher(client)


def test_network__that_was_away(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """The page is told that it is offline; what happened meanwhile comes when it is online."""
    tab = Tab(chromium, profile, site.page(place.url, "u1")).live()
    for turn in range(1, 4):
        send("u1")
        tab.wait_for(send.last)
        tab.set_offline(True)
        tab.wait(lambda: tab.states[-1] == "connecting", "the tab is offline")
        send("u1", "u1")
        tab.set_offline(False)
        tab.live(turn + 1)
        tab.wait_for(*range(1, send.last + 1))
    assert "offline" in tab.reasons
    assert tab.numbers == list(range(1, 10))
    assert tab.all("reset") == []


def test_gateway__that_is_killed_and_started_again(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """Two tabs share the streams before and after; neither has lost or repeated an event."""
    tabs = [Tab(chromium, profile, site.page(place.url, "u1")).live() for _ in range(2)]
    for turn in range(1, 4):
        send("u1")
        for tab in tabs:
            tab.wait_for(send.last)
        place.kill()
        for tab in tabs:
            tab.wait(lambda tab=tab: tab.states[-1] == "connecting", "the stream is gone")
        send("u1", "u1")
        place.start()
        for tab in tabs:
            tab.live(turn + 1)
            tab.wait_for(*range(1, send.last + 1))
    assert tabs[0].numbers == tabs[1].numbers == list(range(1, 10))
    wait_until(lambda: open_streams(place) == 1, "streams: 1")


def test_redis__that_is_killed_and_started_again(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess, send: Publisher
) -> None:
    """The stream stays; the page is told that events are late, then gets them."""
    tab = Tab(chromium, profile, site.page(place.url, "u1")).live()
    send("u1")
    tab.wait_for(1)
    place.server.kill()
    tab.wait(lambda: tab.states[-1] == "late", "events are late")
    place.server.start()
    tab.wait(lambda: tab.states[-1] == "live", "events are live again")
    with place.server.client() as client:
        again = Publisher(client)
        again.last = 1
        again("u1", "u1")
    tab.wait_for(1, 2, 3)
    assert tab.numbers == [1, 2, 3]
    assert {*tab.states} == {"live", "late"}
    assert tab.all("reset") == []


def _newest(tab: Tab) -> int:
    return max(tab.numbers, default=0)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_two_gateways__restarted_in_turn(
    chromium: Chromium, profile: str, site: Site, own_server: Server, how: str
) -> None:
    """Events all the time, each gateway restarted ten times: 0 lost, 0 repeated, 0 resets."""
    ports = [free_port(), free_port()]
    own: dict[str, Any] = {"realtime__allowed_origins": [site.origin], "realtime__history": 300}
    users = ("u1", "u2")
    with (
        gateway_on(own_server, **own, realtime__port=ports[0]) as one,
        gateway_on(own_server, **own, realtime__port=ports[1]) as two,
        balancing(*ports) as balancer,
    ):
        # All are there before the first event: whichever of two gateways has it, it is shown.
        tabs = [
            (user, Tab(chromium, profile, site.page(balancer.url, user)).live())
            for user in users * 2
        ]
        with publishing(own_server, *users) as send:
            for place in (one, two) * RESTARTS:
                restart(place, how)
                # All streams are there again when the next gateway is restarted.
                after = send.last
                for _, tab in tabs:
                    tab.wait(lambda tab=tab, after=after: _newest(tab) > after, "goes on")
        for user, tab in tabs:
            wanted = list(range(1 + users.index(user), send.last + 1, len(users)))
            # What a killed process had claimed comes later than its neighbours.
            tab.wait_for(*wanted)
            assert tab.numbers == wanted
            assert tab.all("reset") == []
