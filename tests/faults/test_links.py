"""Links that lose, cut, garble or hold back what passes: rows 18 to 25 and 27."""

from __future__ import annotations

import contextlib
import socket
from random import Random

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.faulty_proxy import Trouble, faulty
from tests.faults.support.load import Shape
from tests.support.roads import leased_road
from tests.support.servers import Server

pytestmark = pytest.mark.extended


def carried_over(fault_run: NewFaultRun, trouble: Trouble, shape: Shape | None = None) -> int:
    """Have routes published over a troubled link; return how many faults there were."""
    one = fault_run()
    with faulty(one.server.socket, one.rng, trouble) as proxy:
        daemon = one.daemon(url=proxy.url)
        one.hand_in(600, shape or Shape(ahead_ms=3000))
        one.wait_until_over()
        one.assert_kept()
        assert all(route.attempts == 0 for route in one.deployment.routes().values())
        assert daemon.process.poll() is None
        one.figures.append(f"{dict(proxy.counts)} of {proxy.calls} calls")
        return proxy.counts.total()


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    ["row18_reset", "row19_drop_request", "row20_drop_reply", "row21_truncate", "row22_garble"],
)
def test_link__that_fails_now_and_then_costs_nothing(fault_run: NewFaultRun, fault: str) -> None:
    """Whatever becomes of one call in ten, each route is published once and nobody pays."""
    name = fault.partition("_")[2]
    assert carried_over(fault_run, Trouble(chances={name: 0.1})) > 0


def test_row21__replies_in_single_bytes(fault_run: NewFaultRun) -> None:
    """A reply that comes byte by byte is a reply like any other."""
    assert carried_over(fault_run, Trouble(chances={"split": 1.0}), Shape(ahead_ms=500)) > 0


@pytest.mark.slow
@leased_road
def test_row24__latency(fault_run: NewFaultRun) -> None:
    """With 200 ms and 150 more or less for each reply no lease is lost, and none is wasted."""
    one = fault_run(worker__lease_ttl_ms=5000)
    with faulty(one.server.socket, one.rng, Trouble(delay_s=0.2, jitter_s=0.15)) as proxy:
        one.daemon(url=proxy.url)
        one.hand_in(600, Shape(ahead_ms=3000))
        one.wait_until_over()
    report = one.assert_kept()
    assert report.abandoned == 0
    assert one.stale == 0


@pytest.mark.slow
def test_row25__slow_link(fault_run: NewFaultRun) -> None:
    """At a megabit a second records of 100 kB still arrive, a few at a time, and none loops."""
    one = fault_run(worker__lease_ttl_ms=8000)
    shape = Shape(recipients=2, text_bytes=100_000, ahead_ms=100, cancel=0.0)
    with faulty(one.server.socket, one.rng, Trouble(bytes_per_s=125_000)) as proxy:
        one.hand_in(20, shape)
        one.daemon(url=proxy.url)
        one.wait_until_over()
    one.assert_kept()


@pytest.mark.slow
def test_row27__half_open_connections(fault_run: NewFaultRun) -> None:
    """Connections whose other end has gone without a word are given up; new ones serve."""
    one = fault_run()
    with faulty(one.server.socket, one.rng) as proxy:
        daemon = one.daemon(url=proxy.url)
        one.hand_in(100)
        one.wait_until_over()
        proxy.silence()
        one.hand_in(100)
        daemon.wait_for("redis unavailable")
        daemon.wait_for("redis available again")
        one.wait_until_over()
    one.assert_kept()


def test_proxy__does_what_it_is_told_to_the_nth_call(server: Server) -> None:
    """The faults of given calls come where they were asked for, and nowhere else."""
    told = {2: "truncate", 4: "reset", 6: "garble"}
    with faulty(server.socket, Random(1), Trouble(nth=told)) as proxy:
        host, port = proxy.url.removeprefix("redis://").removesuffix("/0").split(":")
        answers = [_ping(host, int(port)) for _ in range(7)]
    assert [place for place, answer in enumerate(answers, 1) if answer == b"+PONG\r\n"] == [
        *(1, 3, 5, 7)
    ]
    assert answers[1] == b"+PO"
    assert answers[3] == b""
    assert answers[5][1:] == b"PONG\r\n"
    assert dict(proxy.counts) == {"truncate": 1, "reset": 1, "garble": 1}


def test_proxy__draws_the_same_from_the_same_seed(server: Server) -> None:
    """Two proxies of one seed do the same to the same calls."""
    drawn = []
    for _ in range(2):
        with faulty(server.socket, Random(7), Trouble(chances={"reset": 0.5})) as proxy:
            host, port = proxy.url.removeprefix("redis://").removesuffix("/0").split(":")
            drawn.append([_ping(host, int(port)) for _ in range(12)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 2


def _ping(host: str, port: int) -> bytes:
    """Send PING on a connection of its own and return the bytes that come."""
    with socket.create_connection((host, port), timeout=5) as link:
        link.sendall(b"PING\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while not answer.endswith(b"\n") and (more := link.recv(64)):
                answer += more
        return answer
