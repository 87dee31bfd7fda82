"""Daemons that are killed, wherever they are: another one carries on, once and in time."""

from __future__ import annotations

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.load import Shape
from tests.support.proxy import proxied
from tests.support.roads import Road, leased_road
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended


def test_row01__killed_while_idle(fault_run: NewFaultRun) -> None:
    """A daemon that dies with nothing in hand takes nothing along; another hears of what comes."""
    one = fault_run()
    idle, other = one.daemon(), one.daemon()
    for daemon in (idle, other):
        daemon.wait_for("daemon working")
    idle.kill()
    one.hand_in(100, Shape(ahead_ms=0))
    one.wait_until_over()
    assert one.assert_kept().abandoned == 0


@leased_road
def test_row02__killed_between_claim_and_settle(any_fault_run: NewFaultRun) -> None:
    """What a daemon had claimed when it died is published by the next, each route once."""
    fault_run = any_fault_run()
    fault_run.hand_in(200)
    doomed = fault_run.daemon("after_claim:kill")
    wait_until(lambda: doomed.process.poll() is not None, "it has died")
    fault_run.daemon()
    fault_run.wait_until_over()
    assert fault_run.assert_kept().abandoned > 0


def test_row03__killed_before_it_hears_what_it_published(
    fault_run: NewFaultRun, road: Road
) -> None:
    """A daemon that dies before it hears that its events are in the stream has published once."""
    one = fault_run()
    one.deployment.load_scripts()
    one.hand_in(100, Shape(ahead_ms=0))
    with proxied(one.server.socket) as proxy:
        proxy.lose_reply("route_publish" if road == "script" else "route_settle", "silence")
        doomed = one.daemon(url=proxy.url)
        wait_until(lambda: proxy.lost, "its call is on the way")
        wait_until(one.deployment.entries, "it has been run")
        doomed.kill()
    one.daemon()
    one.wait_until_over()
    report = one.assert_kept()
    if road == "script":
        assert report.abandoned == 0


#: The places on each road; a claim that follows the script is of the leased road.
PLACES = {
    "script": ("before_publish", "after_publish"),
    "leased": ("before_claim", "encode", "before_settle", "after_settle"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("road", "place"), [(road, p) for road in PLACES for p in PLACES[road]])
def test_row04__killed_at_every_place(fault_run: NewFaultRun, place: str) -> None:
    """Wherever a daemon dies, again and again, each route is published once."""
    one = fault_run()
    one.hand_in(300)
    doomed = one.daemon(f"{place}:kill:0.2")
    for _ in range(4):
        wait_until(lambda: doomed.process.poll() is not None or one.is_over, "it dies")
        if doomed.process.poll() is not None:
            one.start_again(doomed, f"{place}:kill:0.2")
    one.daemon()
    one.wait_until_over()
    one.assert_kept()
