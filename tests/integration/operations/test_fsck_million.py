"""``fsck --fix`` on a million routes with a thousand faults, beside a daemon that works.

Run it alone, on a machine that has nothing else to do: ``pytest -m slow -s`` with this file. It
prints what it measured; docs/operations.md keeps the figures of one run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.operations.pausing import pause
from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_client.scripts import script
from galaxy_notify.redis_state.janitor_store import LOCK_MS
from tests.bench.figures import percentile
from tests.bench.load import Load
from tests.support.daemons import daemon_on
from tests.support.deployment import DeploymentFixture
from tests.support.faults import BESIDE
from tests.support.fsck import ALL, CHANNELS
from tests.support.program import PROGRAM, ROOT, environment
from tests.support.servers import Server, running, servers_found
from tests.support.wait import wait_until

ROUTES = int(os.environ.get("FSCK_ROUTES", "1000000"))
PLANTED = 1000
RATE = 500
ALONE_S, BESIDE_S = 30, 90
_LATER_MS = 86_400_000
_SCRIPTS = (
    *("fsck_scan_index", "fsck_scan_notifications"),
    *("fsck_repair", "fsck_recount", "fsck_totals"),
)


class Run(NamedTuple):
    """One run of ``fsck``: what it told, when it ran, its memory, and how long its calls took."""

    told: dict[str, Any]
    from_ms: int
    to_ms: int
    memory_mb: float
    calls_ms: list[float]

    @property
    def found(self) -> set[tuple[str, str]]:
        """Return the code and the subject of each finding."""
        return {(one["code"], one["subject"]) for one in self.told["findings"]}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_million__routes_with_a_thousand_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """All faults are found and mended, and nothing else is; the daemon goes on publishing."""
    binary = list(servers_found().values())[-1]
    with (
        running(binary, tcp=True) as server,
        closing(DeploymentFixture(server.url, worker__channels=CHANNELS)) as deployment,
    ):
        _fill(deployment)
        planted = _plant(deployment)
        begin = _hand_in(deployment)
        with _no_janitor(deployment), daemon_on(server, worker__channels=CHANNELS):
            wait_until(lambda: deployment.now() > begin + ALONE_S * 1000, "it worked alone", 600)
            fixed = _fsck(server, deployment, "--fix")
        again = _fsck(server, deployment)
        lines = [
            f"{binary}: {ROUTES:,} routes, {len(planted):,} faults, {RATE} routes/s beside",
            f"late without fsck: {_late(deployment, begin, begin + ALONE_S * 1000)}",
            f"late beside fsck: {_late(deployment, fixed.from_ms, fixed.to_ms)}",
            *(_line(name, run) for name, run in (("fsck --fix", fixed), ("again", again))),
        ]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert (fixed.told["ok"], fixed.told["left"]) == (True, 0)
    # The totals are even again once the rest is mended, or are mended with it.
    assert {code for code, _ in planted - fixed.found} <= {"totals"}
    assert {code for code, _ in fixed.found - planted} <= BESIDE
    assert again.told["findings"] == []
    assert again.told["looked_at"]["notifications"] > ROUTES


def _fill(deployment: DeploymentFixture) -> None:
    """Accept the routes; where a busy machine times out, some of them more than once."""
    rest = Load(ROUTES, due_ms=deployment.now() + _LATER_MS, span_ms=1).intents()
    while chunk := list(islice(rest, 10_000)):
        with suppress(Unavailable):
            deployment.notifier.accept_many(chunk)
            continue
        deployment.notifier.accept_many(chunk)


def _plant(deployment: DeploymentFixture) -> set[tuple[str, str]]:
    """Plant faults of all kinds, and keep workers from mending them first."""
    planted: set[tuple[str, str]] = set()
    for code, plant in cycle(ALL.values()):
        planted.add((code, plant(deployment)))
        if len(planted) == PLANTED:
            break
    pause(deployment.connected, "push")
    return planted


@contextmanager
def _no_janitor(deployment: DeploymentFixture) -> Iterator[None]:
    """Hold the janitor's lock while the block runs, so that nothing is mended but by fsck."""
    stop = threading.Event()

    def hold() -> None:
        with sync_client(deployment.settings.redis.url) as client:
            while not stop.wait(0.5):
                client.set(deployment.keys.janitor, "nobody", px=LOCK_MS)

    deployment.client.set(deployment.keys.janitor, "nobody", px=LOCK_MS)
    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        stop.set()
        holding.join()


def _hand_in(deployment: DeploymentFixture) -> int:
    """Have routes become due at a steady rate, each named after its time; return the first."""
    begin = deployment.now() + 30_000
    for second in range(ALONE_S + BESIDE_S):
        due = [begin + 1000 * second + n * 1000 // RATE for n in range(RATE)]
        deployment.notifier.accept_many([_intent(each) for each in due])
    return begin


def _intent(due_ms: int) -> dict[str, Any]:
    to = {"recipients": [f"user-{due_ms}"], "channels": ["email"], "due_at": due_ms}
    return {"type": "bench.turn", "producer": "bench", **to}


def _late(deployment: DeploymentFixture, from_ms: int, to_ms: int) -> str:
    late = sorted(at - due for due, at in _published(deployment) if from_ms <= due < to_ms)
    p50, p99 = (percentile(late, share) for share in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, the last {late[-1]} ms ({len(late):,} routes)"


def _published(deployment: DeploymentFixture) -> Iterator[tuple[int, int]]:
    for entry in deployment.entries():
        yield int(entry["user_id"].partition(b"-")[2]), int(entry["stream_id"].partition(b"-")[0])


def _fsck(server: Server, deployment: DeploymentFixture, *options: str) -> Run:
    """Run the command, and watch it."""
    deployment.client.config_set("slowlog-log-slower-than", 200)
    deployment.client.config_set("slowlog-max-len", 100_000)
    deployment.client.slowlog_reset()
    begun, peaks = deployment.now(), [0.0]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*PROGRAM, "fsck", "--json", *options],
            cwd=ROOT,
            env=environment(server, GALAXY_NOTIFY_WORKER__CHANNELS="push,email"),
            stdout=output,
        )

        def has_ended() -> bool:
            peaks.append(_peak_mb(process.pid))
            return process.poll() is not None

        wait_until(has_ended, "fsck ends", 1800)
        output.seek(0)
        told = json.load(output)
    return Run(told, begun, deployment.now(), max(peaks), _calls_ms(deployment))


def _calls_ms(deployment: DeploymentFixture) -> list[float]:
    """Return how long the scripts took that nobody but fsck runs; the shortest are left out."""
    own = tuple(f"EVALSHA {script(name).sha}".encode() for name in _SCRIPTS)
    slow: Any = deployment.client.slowlog_get(100_000)
    return sorted(one["duration"] / 1000 for one in slow if one["command"].startswith(own))


def _peak_mb(pid: int) -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(match[1]) / 1024 if match else 0.0


def _line(name: str, run: Run) -> str:
    seconds = (run.to_ms - run.from_ms) / 1000
    median, p99 = (percentile(run.calls_ms, share) for share in (0.5, 0.99))
    calls = f"a call takes {median:.1f} ms, p99 {p99:.1f} ms, the longest {run.calls_ms[-1]:.1f} ms"
    return f"{name}: {seconds:.0f} s, {run.memory_mb:.0f} MB; {calls}"
