"""Rows 5 and 66: everything breaks all the time, and in the end each route was published once."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.chaos import SUICIDAL, Chaos, Stopwatch
from tests.faults.support.load import Shape
from tests.support.roads import every_road
from tests.support.servers import servers_found

pytestmark = pytest.mark.extended


def storm(fault_run: NewFaultRun, routes: int, deaths: int, servers: int) -> None:
    """Kill daemons and the server while so many routes come in and are published."""
    one = fault_run()
    for _ in range(4):
        one.daemon(SUICIDAL)
    chaos = Chaos(one, SUICIDAL)
    load = one.load(Shape(recipients=10, ahead_ms=5000, pause_s=0.1))
    with load.running(routes):
        for turn in range(servers):
            chaos.run({"kill_daemon": 1}, partial(chaos.has_done, "died", deaths * turn // servers))
            chaos.run({"kill_server": 1}, partial(chaos.has_done, "kill_server", turn + 1))
        chaos.run({"kill_daemon": 1}, lambda: load.is_done and chaos.has_done("died", deaths), 1.0)
    chaos.run({"kill_daemon": 1}, lambda: one.is_over, 2.0)
    report = one.assert_kept()
    died, servers_died = chaos.counts["died"], chaos.counts["kill_server"]
    one.figures.append(f"{died} daemons and {servers_died} times the server died")
    assert chaos.counts["died"] >= deaths
    assert chaos.counts["kill_server"] >= servers
    assert report.accepted >= routes


@pytest.mark.slow
@pytest.mark.timeout(1800)
@every_road
def test_row05__kill_storm(fault_run: NewFaultRun) -> None:
    """20,000 routes, 200 deaths of daemons and 20 of the server: none lost, twice or early."""
    storm(fault_run, routes=20_000, deaths=200, servers=20)


@pytest.mark.slow
@every_road
def test_row05__small_storm(any_fault_run: NewFaultRun) -> None:
    """The same in small, on every flavour of server."""
    storm(any_fault_run, routes=1500, deaths=9, servers=3)


TROUBLE = "before_settle:fault:0.05,after_claim:delay=200:0.05,before_publish:fault:0.02"
ALL_FAULTS = {
    "kill_daemon": 4,
    "freeze_daemon": 2,
    "stop_daemon": 2,
    "kill_server": 1,
    "freeze_server": 1,
    "flush_scripts": 2,
    "drop_clients": 2,
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@every_road
def test_row66__a_minute_of_everything(fault_run: NewFaultRun) -> None:
    """Killed, frozen, stopped, cut off, in the order that the seed draws: nothing is lost."""
    one = fault_run([*servers_found()][-1])
    points = f"{SUICIDAL},{TROUBLE}"
    for _ in range(3):
        one.daemon(points)
    chaos, watch = Chaos(one, points), Stopwatch(60)
    with one.load(Shape(pause_s=0.1)).running(1_000_000):
        chaos.run(ALL_FAULTS, lambda: watch.is_over)
    chaos.run({"look_on": 1}, lambda: one.is_over)
    one.assert_kept()
    one.figures.append(f"{dict(chaos.counts)}")
