"""Several daemons on one deployment, and what becomes of the work of those that die."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemons import DaemonProcess, daemon_on
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.embedded import (
    ONLY_BUNDLED,
    has_written_all,
    is_down,
    server_pid,
    state_folder,
)
from tests.support.process_state import state_of
from tests.support.program import PROGRAM, ROOT
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until

Run = Callable[..., DaemonProcess]
ENCODERS = "tests.support.encoders"


@pytest.fixture
def run(server: Server) -> Iterator[Run]:
    """Run a daemon on the server: ``run(section__field=value)``; it is killed after the test."""
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(daemon_on(server, **given))


def test_zombie__publishes_nothing(server: Server, deploy: Deploy, run: Run) -> None:
    """A daemon frozen for longer than its leases wakes to find them gone, and changes nothing."""
    deployment = deploy(server)
    deployment.notify(*(f"u{n:03}" for n in range(128)))
    given = {"worker__lease_ttl_ms": 2000}
    zombie = run(gateway__encoder=f"{ENCODERS}:frozen", **given)
    wait_until(lambda: _is_frozen(zombie), "it froze with its first batch in hand")
    left = len(deployment.due())
    run(**given)
    wait_until(lambda: not deployment.due(), "the other one has taken over")
    zombie.signal(signal.SIGCONT)
    stale = zombie.wait_for("batch settled")["stale"]
    assert 0 < stale <= left
    assert deployment.total("published") == 128
    zombie.signal(signal.SIGTERM)
    assert zombie.ended() == 0


def test_dead_daemon__leaves_its_routes_to_another(
    server: Server, deploy: Deploy, run: Run
) -> None:
    """Two daemons share a backlog; when one is killed the other finishes it, each route once."""
    deployment = deploy(server, worker__batch_size=20)
    given = {
        "worker__lease_ttl_ms": 1000,
        "worker__batch_size": 20,
        "worker__max_abandoned": 50,
        "gateway__encoder": f"{ENCODERS}:brisk",
    }
    first, second = run(**given), run(**given)
    for daemon in (first, second):
        daemon.wait_for("daemon working")
    batches = count()

    def both_work() -> bool:
        batch = next(batches)
        deployment.notify(*(f"u{batch}-{k}" for k in range(60)))
        return all(daemon.lines("batch settled") for daemon in (first, second))

    wait_until(both_work, "both of them work")
    for _ in range(5):
        both_work()
    first.kill()
    wait_until(lambda: not deployment.due(), "all are published")
    workers = {route.history[-1].worker for route in deployment.routes().values()}
    assert len(workers) == 2
    assert deployment.total("published") == 60 * next(batches)


def test_killer__takes_no_innocents_with_it(server: Server, deploy: Deploy, run: Run) -> None:
    """A route that kills whoever encodes it is buried, and all its neighbours are published."""
    deployment = deploy(server)
    poison = member_of(deployment.notify("poison", title="kill"), "poison")
    made = deployment.notify(*(f"u{n:02}" for n in range(60)))
    # A lease ends by a death only, also where a daemon stands still with routes in hand.
    daemon = run(
        worker__lease_ttl_ms=1000 * int(HANG_S),
        worker__max_abandoned=3,
        gateway__encoder=f"{ENCODERS}:killer",
    )
    deaths = 0
    while not deployment.dead():
        if daemon.process.poll() is not None:
            deaths += 1
            deployment.move_leases(deployment.now() - 1)
            daemon.start()
        wait_until(lambda: deployment.dead() or daemon.process.poll() is not None, "it dies or not")
    wait_until(lambda: not deployment.due(), "the neighbours are published")
    failure = deployment.route(poison).failure
    assert failure is not None
    assert failure.failure_class == "lease_abandoned"
    assert deaths == 3
    assert set(deployment.event_ids()) == {member_of(made, f"u{n:02}") for n in range(60)}


def test_storm__loses_nothing(server: Server, deploy: Deploy, run: Run) -> None:
    """Three daemons, one killed each second and started again: nothing lost, doubled or early."""
    deployment = deploy(server)
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
        start = deployment.now()
        for n in range(30):
            users = (f"u{kills}-{n}-{k}" for k in range(20))
            deployment.notify(*users, due_at=start + rng.randrange(1500))
        some = 600 * kills + 200
        wait_until(partial(_has_published, deployment, some), "some are published")
        # On a machine under load a daemon takes longer to come back.
        wait_until(lambda: all(daemon.is_working for daemon in daemons), "all of them work")
        daemons[kills % 3].kill()
        daemons[kills % 3].start()
    wait_until(lambda: not deployment.due(), "all are published")
    assert deployment.total("published") == 3000
    # That none was early, each published once and none lost is checked of all routes after this.


def _has_published(deployment: DeploymentFixture, routes: int) -> bool:
    return deployment.total("published") >= routes


def _is_frozen(daemon: DaemonProcess) -> bool:
    return state_of(daemon.process.pid) == "T"


def test_embedded__keeps_what_was_accepted_when_all_is_killed() -> None:
    """Daemon and server killed together lose nothing that was accepted and is in the file."""
    with state_folder() as state, ExitStack() as stack:
        variables = _embedded(state)
        first = stack.enter_context(_started(variables))
        wait_until(lambda: _succeeds(variables, "pause", "push"), "nothing is published yet")
        lines = [{"type": "t", "producer": "p", "recipients": [f"u{n}"]} for n in range(20)]
        accepted = _program(variables, "accept", stdin="\n".join(map(json.dumps, lines)))
        assert accepted.returncode == 0, accepted.stderr
        wait_until(lambda: has_written_all(state), "what was accepted is in the file")
        os.kill(server_pid(state), signal.SIGKILL)
        first.kill()
        first.wait()
        second = stack.enter_context(_started(variables))
        wait_until(lambda: _succeeds(variables, "resume", "push"), "the server is there again")
        wait_until(lambda: _published(variables) == 20, "all are published")
        second.terminate()
        assert second.wait(HANG_S) == 0
        assert is_down(state)


def _embedded(state: Path) -> dict[str, str]:
    given = {"GALAXY_NOTIFY_REDIS__URL": "embedded", "GALAXY_NOTIFY_REDIS__STATE_DIR": str(state)}
    return os.environ | ONLY_BUNDLED | given | {"PYTHONPATH": str(ROOT)}


@contextmanager
def _started(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*PROGRAM, "run"],
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _succeeds(variables: dict[str, str], *arguments: str) -> bool:
    return _program(variables, *arguments).returncode == 0


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
        timeout=HANG_S,
    )


def _published(variables: dict[str, str]) -> int:
    done = _program(variables, "status", "--json")
    status: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return int(status.get("totals", {}).get("published", 0))
