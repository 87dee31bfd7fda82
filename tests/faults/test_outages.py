"""The server is away, in every way that it can be: daemons wait, quietly, and go on."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.chaos import Stopwatch
from tests.faults.support.faulty_proxy import faulty
from tests.faults.support.load import Shape
from tests.faults.support.outages import OUTAGES
from tests.support.servers import servers_found

pytestmark = pytest.mark.extended

#: Long enough for the pauses to have grown; the first of them count like the others.
SECONDS = 10
#: What an outage may say of itself: edges, not tries; some ways of being away begin with another.
LINES = 12


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTAGES)
def test_outage__costs_nothing_but_time(fault_run: NewFaultRun, name: str) -> None:
    """No route is lost, doubled or charged, tries are rare, the log is short, and work resumes."""
    one = fault_run([*servers_found()][-1])
    with faulty(one.server.socket, one.rng) as proxy:
        # A backlog at the start opens the connections of all slots: no try of the outage needs one.
        one.hand_in(1000, Shape(ahead_ms=0, cancel=0.0))
        daemon = one.daemon(url=proxy.url)
        daemon.wait_for("daemon working")
        one.wait_until_over()
        one.hand_in(300, Shape(ahead_ms=(SECONDS + 1) * 1000))
        before, connections = len(daemon.lines()), proxy.connections
        with OUTAGES[name](one, proxy):
            daemon.wait_for("redis unavailable")
            Stopwatch(SECONDS).wait()
            tries = proxy.connected_s[connections:]
            told = [one for one in daemon.lines()[before:] if one["event"] != "batch settled"]
        began = time.monotonic()
        one.hand_in(10, Shape(ahead_ms=0, cancel=0.0))
        one.wait_until_over()
        resumed = time.monotonic() - began
        one.assert_kept()
    counts = f"{len(tries)} tries in {SECONDS} s, {len(told)} lines"
    one.figures.append(f"{counts}, over in {resumed:.1f} s")
    assert _are_rare(tries), tries
    assert len(told) <= LINES, told
    assert daemon.process.poll() is None
    assert all(route.attempts == 0 for route in one.deployment.routes().values())


def _are_rare(times: list[float]) -> bool:
    """Return whether they are two a second at most, over all: a busy machine shifts some."""
    return not times or len(times) <= 2 * (times[-1] - times[0] + 1)
