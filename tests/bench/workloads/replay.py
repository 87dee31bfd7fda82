"""Many dead letters, replayed with one command."""

from __future__ import annotations

import time

from tests.bench.bench_run import BenchRun, patient, total
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import daemons, running
from tests.bench.watch import watch
from tests.support.servers import Server


def measure(bench: BenchRun, figures: Figures) -> None:
    """Let a backlog die, then replay all of it; the command's start counts."""
    letters = bench.size(100_000, 10_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            figures.add("buried", _bury(server, letters), "routes/s")
            figures.add("replayed", letters / _replay(server, letters), "dead letters/s")


def _bury(server: Server, letters: int) -> float:
    server.flush()
    fill(server.tcp_url, Load(letters))
    settings = {"GATEWAY__ENCODER": "tests.bench.encoders:bury_all"}
    with patient(server) as client, daemons(server.tcp_url, settings) as workers:
        return watch(client, workers, lambda: total(client, "dead_lettered"), letters).rate


def _replay(server: Server, letters: int) -> float:
    started = time.perf_counter()
    command = ["galaxy_notify", "dead", "replay", "--all", "--yes"]
    with running(*command, REDIS__URL=server.tcp_url) as process, patient(server) as client:
        process.wait(300)
        seconds = time.perf_counter() - started
        if total(client, "replayed") != letters:
            raise RuntimeError(f"{total(client, 'replayed')} of {letters} replayed")
    return seconds
