"""Tabs that come, go, reload, freeze and lose the network at random, beside restarts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.chromium import Chromium, requires_chromium
from tests.support.gateways import GatewayProcess, Publisher, gateway_on, publishing, restart
from tests.support.pages import Site, Tab
from tests.support.seed import seed_of_run
from tests.support.servers import Server, free_port
from tests.support.wait import wait_until

pytestmark = [requires_chromium, pytest.mark.slow]

USERS = ("u1", "u2")
STEPS = 60
TABS_MAX = 5


def _has_all(numbers: list[int], last: int) -> bool:
    """Return whether no number up to this one is missing behind the first, and more have come."""
    if not numbers or numbers[-1] <= last:
        return False
    return {*range(numbers[0], last + 1, len(USERS))} <= {*numbers}


class Walk:
    """Tabs of two users in one profile, and what happens to them."""

    def __init__(self, open_tab: Callable[[str], Tab], send: Publisher) -> None:
        """Begin with a tab of each user; *open_tab* opens a further one."""
        self._open = open_tab
        self._send = send
        self._random = random.Random(seed_of_run())
        self.tabs = [(user, self._open(user)) for user in USERS]
        #: The users of tabs that were closed, and what these had shown.
        self.closed: list[tuple[str, list[int]]] = []

    def step(self, place: GatewayProcess) -> None:
        """Have something happen; most times wait until all tabs have gone on."""
        user, tab = chosen = self._random.choice(self.tabs)
        what = self._random.choice(("open", "close", "reload", "freeze", "offline", "restart"))
        if what == "open" and len(self.tabs) < TABS_MAX:
            self.tabs.append((user, self._open(user)))
        elif what == "close" and [owner for owner, _ in self.tabs].count(user) > 1:
            last = self.go_on()
            self.closed.append((user, [number for number in tab.numbers if number <= last]))
            tab.close()
            self.tabs.remove(chosen)
        elif what == "restart":
            restart(place, self._random.choice(("stopped", "killed")))
            # What a killed process had claimed comes later than its neighbours, on the tabs of now.
            self.go_on()
        else:
            self._trouble(tab, what)
        if self._random.random() < 0.6:
            self.go_on()

    def _trouble(self, tab: Tab, what: str) -> None:
        if what == "freeze":
            tab.freeze(True)
            self._let_pass(self._random.randrange(300))
            tab.freeze(False)
        elif what == "offline":
            # A page that is still loading could not be loaded.
            self.go_on()
            tab.set_offline(True)
            self._let_pass(self._random.randrange(60))
            tab.set_offline(False)
        else:
            tab.reload()

    def go_on(self) -> int:
        """Wait until every tab shows all to the number of now, which is returned, and more."""
        last = self._send.last
        for _, tab in self.tabs:
            tab.wait(lambda tab=tab: _has_all(tab.numbers, last), "the tab goes on")
        return last

    def _let_pass(self, events: int) -> None:
        last = self._send.last + events
        wait_until(lambda: self._send.last >= last, f"{events} events")


@pytest.fixture
def place(own_server: Server, site: Site) -> Iterator[GatewayProcess]:
    """Give a gateway with short streams, which knows events for as long as a tab is away."""
    own: dict[str, Any] = {
        "realtime__allowed_origins": [site.origin],
        "realtime__port": free_port(),
        "realtime__history": 300,
        "realtime__max_age_ms": 4000,
        "realtime__ping_ms": 1000,
    }
    with gateway_on(own_server, **own) as made:
        yield made


def test_tabs_at_random__show_each_event_of_their_user_once(
    chromium: Chromium, profile: str, site: Site, place: GatewayProcess
) -> None:
    """From its first event on each tab shows all of its user, in order, and none of the other."""

    def open_tab(user: str) -> Tab:
        return Tab(chromium, profile, site.page(place.url, user, silence=4000)).live()

    with publishing(place.server, *USERS) as send:
        walk = Walk(open_tab, send)
        for _ in range(STEPS):
            walk.step(place)
        last = walk.go_on()
    assert [tab.all("reset") for _, tab in walk.tabs] == [[]] * len(walk.tabs)
    shown = [(user, [n for n in tab.numbers if n <= last]) for user, tab in walk.tabs]
    for user, numbers in [*shown, *walk.closed]:
        assert numbers == list(range(numbers[0], numbers[-1] + 1, len(USERS)))
        assert (numbers[0] - 1) % len(USERS) == USERS.index(user)
