"""A producer hands 50,000 intents a second to a background notifier for ten seconds, and Redis is
killed for three of them. Each call of `enqueue` is timed, with its validation; beside it the same
calls to a notifier that has no Redis at all, which shows what the machine itself does to a caller.
The sum of accepted and dropped must be exact, and with a spill all of it accepted in the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.bench.bench_run import BenchRun, ensure_deployment, patient, total
from tests.bench.checkout import ROOT
from tests.bench.figures import Figures
from tests.support.servers import Server

_RATE = 50_000
_START_S = 1.5
_END_S = 600
_NOWHERE = "redis://127.0.0.1:1/0"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Time the callers of each policy while Redis is killed, and compare the sums."""
    seconds = bench.size(10, 3)
    for _ in range(bench.runs):
        _add(figures, "without a drainer", _told(_caller(_NOWHERE, "drop_newest", "", seconds)))
        for on_full in ("drop_newest", "spill"):
            # What is answered must survive the kill, or no sum could be compared.
            with (
                bench.server(appendonly="yes", appendfsync="always") as server,
                tempfile.TemporaryDirectory() as folder,
            ):
                ensure_deployment(server.tcp_url)
                caller = _caller(server.tcp_url, on_full, folder, seconds)
                _outage(server, seconds)
                told = _told(caller)
                _add(figures, on_full, told)
                _compare(figures, on_full, told, server)


def _caller(url: str, on_full: str, folder: str, seconds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.enqueue", url, on_full, folder]
    return subprocess.Popen(
        [*command, str(_RATE), str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _outage(server: Server, seconds: int) -> None:
    time.sleep(_START_S + seconds * 0.3)
    server.kill()
    time.sleep(seconds * 0.3)
    server.start()


def _told(caller: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = caller.communicate(timeout=_END_S)
    if caller.returncode:
        raise RuntimeError(f"the caller ended with {caller.returncode}")
    told: dict[str, Any] = json.loads(out)
    return told


def _add(figures: Figures, name: str, told: dict[str, Any]) -> None:
    for share, micros in told["us"].items():
        figures.add(f"{name}: {share}", micros, "µs")
    figures.add(f"{name}: calls over 1 ms", told["over_1_ms"] * 100, "% of calls")


def _compare(figures: Figures, on_full: str, told: dict[str, Any], server: Server) -> None:
    with patient(server) as client:
        stored = total(client, "accepted")
    if not told["exact"] or stored != told["accepted"]:
        raise RuntimeError(f"{on_full}: {stored} in Redis, told {told}")
    for what in ("enqueued", "accepted", "dropped", "spilled at the end"):
        figures.add(f"{on_full}: {what}", told[what], "intents")
