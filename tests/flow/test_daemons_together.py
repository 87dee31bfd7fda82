"""Several daemons on one deployment, and what becomes of the work of those that die."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.embedded import ONLY_BUNDLED, server_pid
from tests.support.program import PROGRAM, ROOT
from tests.support.servers import Server
from tests.support.site import Site, member_of
from tests.support.wait import wait_until

Found = Callable[..., Site]
Run = Callable[..., DaemonProcess]
ENCODERS = "tests.support.encoders"


@pytest.fixture
def run(server: Server) -> Iterator[Run]:
    """Run a daemon on the server: ``run(section__field=value)``; it is killed after the test."""
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(daemon_on(server, **given))


def test_zombie__publishes_nothing(server: Server, found: Found, run: Run) -> None:
    """A daemon frozen for longer than its leases wakes to find them gone, and changes nothing."""
    site = found(server)
    site.notify(*(f"u{n:03}" for n in range(128)))
    given = {"worker__lease_ttl_ms": 2000}
    zombie = run(gateway__encoder=f"{ENCODERS}:slow", **given)
    wait_until(site.leases, "it has claimed")
    zombie.signal(signal.SIGSTOP)
    left = len(site.due())
    run(**given)
    wait_until(lambda: not site.due(), "the other one has taken over")
    zombie.signal(signal.SIGCONT)
    stale = zombie.wait_for("batch settled")["stale"]
    assert 0 < stale <= left
    assert site.total("published") == 128
    zombie.signal(signal.SIGTERM)
    assert zombie.ended() == 0


def test_dead_daemon__leaves_its_routes_to_another(server: Server, found: Found, run: Run) -> None:
    """Two daemons share a backlog; when one is killed the other finishes it, each route once."""
    site = found(server, worker__batch_size=20)
    for n in range(10):
        site.notify(*(f"u{n}-{k}" for k in range(60)))
    given = {
        "worker__lease_ttl_ms": 1000,
        "worker__batch_size": 20,
        "gateway__encoder": f"{ENCODERS}:brisk",
    }
    first, second = run(**given), run(**given)
    wait_until(lambda: first.lines("batch settled"), "the first one works", 15)
    wait_until(lambda: second.lines("batch settled"), "the second one works", 15)
    first.kill()
    wait_until(lambda: not site.due(), "all are published", 15)
    workers = {route.history[-1].worker for route in site.routes().values()}
    assert len(workers) == 2
    assert site.total("published") == 600


def test_killer__takes_no_innocents_with_it(server: Server, found: Found, run: Run) -> None:
    """A route that kills whoever encodes it is buried, and all its neighbours are published."""
    site = found(server)
    poison = member_of(site.notify("poison", title="kill"), "poison")
    made = site.notify(*(f"u{n:02}" for n in range(60)))
    daemon = run(
        worker__lease_ttl_ms=300, worker__max_abandoned=3, gateway__encoder=f"{ENCODERS}:killer"
    )
    deaths = 0
    deadline = time.monotonic() + 40
    while not site.dead():
        assert time.monotonic() < deadline
        if daemon.process.poll() is not None:
            deaths += 1
            daemon.start()
        wait_until(lambda: site.dead() or daemon.process.poll() is not None, "it dies or not")
    wait_until(lambda: not site.due(), "the neighbours are published")
    failure = site.route(poison).failure
    assert failure is not None
    assert failure.failure_class == "lease_abandoned"
    assert deaths == 3
    assert set(site.event_ids()) == {member_of(made, f"u{n:02}") for n in range(60)}


def test_storm__loses_nothing(server: Server, found: Found, run: Run) -> None:
    """Three daemons, one killed each second and started again: nothing lost, doubled or early."""
    site = found(server)
    given = {
        "worker__lease_ttl_ms": 700,
        "worker__batch_size": 32,
        "worker__max_abandoned": 50,
        "gateway__encoder": f"{ENCODERS}:brisk",
    }
    daemons = [run(**given) for _ in range(3)]
    for daemon in daemons:
        daemon.wait_for("daemon working")
    rng = random.Random(7)
    for kills in range(5):
        start, since = site.now(), time.monotonic()
        for n in range(30):
            users = (f"u{kills}-{n}-{k}" for k in range(20))
            site.notify(*users, due_at=start + rng.randrange(1500))
        wait_until(partial(_is_past, since + 1), "a second passes")
        # On a machine under load a daemon takes longer to come back.
        wait_until(lambda: all(daemon.is_working for daemon in daemons), "all of them work", 60)
        daemons[kills % 3].kill()
        daemons[kills % 3].start()
    wait_until(lambda: not site.due(), "all are published", 60)
    assert site.total("published") == 3000
    # That none was early, each published once and none lost is checked of all routes after this.


def _is_past(at: float) -> bool:
    return time.monotonic() >= at


def test_embedded__keeps_what_was_accepted_when_all_is_killed() -> None:
    """Daemon and server killed together lose nothing that was accepted; the next start goes on."""
    root = Path(tempfile.mkdtemp(prefix="gn-"))
    state = root / "state"
    variables = _embedded(state)
    try:
        first = _start(variables)
        wait_until(lambda: (state / "redis.sock").exists(), "the server is there", 15)
        later = int((time.time() + 3) * 1000)
        lines = [
            {"type": "t", "producer": "p", "recipients": [f"u{n}"], "due_at": later}
            for n in range(20)
        ]
        accepted = _program(variables, "accept", stdin="\n".join(map(json.dumps, lines)))
        assert accepted.returncode == 0, accepted.stderr
        os.kill(server_pid(state), signal.SIGKILL)
        first.kill()
        first.wait()
        second = _start(variables)
        wait_until(lambda: _published(variables) == 20, "all are published", 20)
        second.terminate()
        assert second.wait(15) == 0
    finally:
        shutil.rmtree(root)


def _embedded(state: Path) -> dict[str, str]:
    given = {"GALAXY_NOTIFY_REDIS__URL": "embedded", "GALAXY_NOTIFY_REDIS__STATE_DIR": str(state)}
    return os.environ | ONLY_BUNDLED | given | {"PYTHONPATH": str(ROOT)}


def _start(variables: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, "run"],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _program(
    variables: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=ROOT,
        env=variables,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _published(variables: dict[str, str]) -> int:
    done = _program(variables, "status", "--json")
    status: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return int(status.get("totals", {}).get("published", 0))
