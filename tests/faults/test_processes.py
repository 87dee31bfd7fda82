"""What may befall the process of a daemon, short of its death: rows 10 to 16."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import NewFaultRun
from tests.faults.support.chaos import Chaos, Stopwatch
from tests.faults.support.fault_run import FaultRun
from tests.faults.support.load import Shape
from tests.support.daemons import DaemonProcess
from tests.support.roads import every_road, usual_road
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

_FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
needs_faketime = pytest.mark.skipif(_FAKETIME is None, reason="needs faketime")


@contextmanager
def limited(daemon: DaemonProcess, what: int, soft: int) -> Iterator[None]:
    """Give a daemon less of something while the block runs."""
    before = resource.prlimit(daemon.process.pid, what)
    resource.prlimit(daemon.process.pid, what, (soft, before[1]))
    yield
    if daemon.process.poll() is None:
        resource.prlimit(daemon.process.pid, what, before)


@pytest.mark.slow
def test_row10__memory_limit(fault_run: NewFaultRun) -> None:
    """A daemon that may take no more memory fails or dies; no route pays, and none is lost."""
    one = fault_run()
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    pages = int(Path(f"/proc/{daemon.process.pid}/statm").read_text().split()[0])
    with limited(daemon, resource.RLIMIT_AS, pages * resource.getpagesize() + (1 << 20)):
        one.hand_in(60, Shape(recipients=2, text_bytes=120_000, ahead_ms=0))
        watch = Stopwatch(10)
        wait_until(lambda: watch.is_over or daemon.process.poll() is not None, "it is in need")
    one.figures.append(f"ended with {daemon.process.poll()}")
    Chaos(one).revive()
    one.wait_until_over()
    report = one.assert_kept()
    assert report.statuses.get("dead_letter", 0) == 0


@pytest.mark.slow
@usual_road
def test_row11__no_file_descriptors(fault_run: NewFaultRun) -> None:
    """A daemon that can open nothing waits, and goes on when it can again."""
    one = fault_run()
    daemon = one.daemon()
    daemon.wait_for("daemon working")
    with limited(daemon, resource.RLIMIT_NOFILE, 4):
        Chaos(one).drop_clients()
        one.hand_in(100)
        daemon.wait_for("redis unavailable")
    daemon.wait_for("redis available again")
    one.wait_until_over()
    one.assert_kept()


@usual_road
def test_row12__log_on_a_full_disk(fault_run: NewFaultRun) -> None:
    """A log that takes no line costs lines, not routes, nor the orderly end."""
    one = fault_run()
    with Path("/dev/full").open("wb") as full:
        daemon = one.daemon(stderr=full.fileno())
        one.hand_in(100)
        one.wait_until_over()
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
    one.assert_kept()


@needs_faketime
@pytest.mark.slow
@pytest.mark.parametrize("shift", ["+1d", "-1d"])
def test_row13__clock_of_the_worker_is_wrong(fault_run: NewFaultRun, shift: str) -> None:
    """A daemon whose clock is a day off publishes nothing early or late: Redis' clock decides."""
    one = fault_run()
    daemon = one.daemon(variables=_clock(FAKETIME=shift))
    daemon.wait_for("daemon working")
    one.hand_in(300)
    one.wait_until_over()
    assert one.assert_kept().abandoned == 0


@needs_faketime
@pytest.mark.slow
def test_row14__clock_of_the_worker_jumps(fault_run: NewFaultRun, tmp_path: Path) -> None:
    """A clock that jumps a day on and two back while a daemon works changes nothing."""
    one = fault_run()
    shift = tmp_path / "shift"
    shift.write_text("+0\n")
    daemon = one.daemon(variables=_clock(FAKETIME_TIMESTAMP_FILE=str(shift), FAKETIME_NO_CACHE="1"))
    daemon.wait_for("daemon working")
    for text in ("+1d", "-1d", "+0"):
        one.hand_in(100, Shape(ahead_ms=1000))
        shift.write_text(f"{text}\n")
        Chaos(one).drop_clients()
        one.wait_until_over()
    one.assert_kept()


def _clock(**variables: str) -> dict[str, str]:
    return {"LD_PRELOAD": str(_FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1", **variables}


@pytest.mark.slow
@every_road
def test_row15__starved_of_the_processor(fault_run: NewFaultRun) -> None:
    """Daemons that run by fits and starts lose leases to each other, and publish once all the same.

    Their leases are so short that a pause may outlast them.
    """
    one = fault_run(worker__lease_ttl_ms=300)
    daemons = [one.daemon(), one.daemon()]
    for daemon in daemons:
        daemon.wait_for("daemon working")
    with one.load(Shape(pause_s=0.05)).running(1500) as load:
        _starve(one, daemons)
        wait_until(lambda: load.is_done, "all of it is accepted")
    _starve(one, daemons)
    one.wait_until_over()
    one.assert_kept()


def _starve(one: FaultRun, daemons: list[DaemonProcess]) -> None:
    """Freeze them in turns, half of the time."""
    watch = Stopwatch(4)
    while not watch.is_over:
        daemon = one.rng.choice(daemons)
        daemon.signal(signal.SIGSTOP)
        Stopwatch(one.rng.random() / 2).wait()
        daemon.signal(signal.SIGCONT)


@pytest.mark.slow
@every_road
@pytest.mark.parametrize("action", ["fault", "raise", "delay=300"])
def test_row16__error_at_any_call(fault_run: NewFaultRun, action: str) -> None:
    """Whichever call fails, as Redis does or as a defect would, nobody pays and nothing is lost."""
    one = fault_run()
    steps = ("publish", "claim", "settle")
    points = ",".join(f"{when}_{s}:{action}:0.05" for s in steps for when in ("before", "after"))
    daemons = [one.daemon(points), one.daemon(points)]
    chaos = Chaos(one, points)
    with one.load(Shape(pause_s=0.02)).running(600) as load:
        chaos.run({"look_on": 1}, lambda: load.is_done)
    chaos.run({"look_on": 1}, lambda: one.is_over)
    one.assert_kept()
    assert all(route.attempts == 0 for route in one.deployment.routes().values())
    if action == "fault":
        assert chaos.counts["died"] == 0
        assert any(daemon.lines("redis unavailable") for daemon in daemons)
