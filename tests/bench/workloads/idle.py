"""The cost of an idle daemon, and whether its memory stays constant under load."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from functools import partial

import redis

from tests.bench.bench_run import BenchRun, entries, patient
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import Running, daemons
from tests.bench.watch import server_cpu_s
from tests.support.wait import wait_until

_START_S = 30
_DRAIN_S = 60


def measure(bench: BenchRun, figures: Figures) -> None:
    """Watch a daemon rest, and then drain one backlog after the other."""
    seconds = bench.size(60, 10)
    with bench.server() as server:
        for _ in range(bench.runs):
            server.flush()
            with patient(server) as client, daemons(server.tcp_url) as (worker,):
                wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", _START_S)
                time.sleep(1)  # what starting costs is not what resting costs
                figures.add("memory at rest", worker.rss_mb(), "MB")
                watch_rest(figures, client, worker, seconds)
                _work(bench, figures, client, worker, server.tcp_url)


def watch_rest(
    figures: Figures, client: redis.Redis, worker: Running, seconds: float, name: str = "idle"
) -> None:
    """Look what an idle daemon uses."""
    before = worker.cpu_s(), server_cpu_s(client)
    time.sleep(seconds)  # the rest that is measured
    after = worker.cpu_s(), server_cpu_s(client)
    figures.add(f"{name}: daemon", (after[0] - before[0]) / seconds * 100, "% of a core")
    figures.add(f"{name}: server", (after[1] - before[1]) / seconds * 100, "% of a core")
    sent, inside = _seen_by_monitor(client, seconds)
    figures.add(f"{name}: commands", sent / seconds, "per second")
    figures.add(f"{name}: commands inside scripts", inside / seconds, "per second")


def _work(
    bench: BenchRun, figures: Figures, client: redis.Redis, worker: Running, url: str
) -> None:
    rounds, routes = bench.size(10, 3), bench.size(20_000, 5_000)
    for number in range(1, rounds + 1):
        fill(url, Load(routes))
        wait_until(partial(_drained, client, number * routes), "the backlog is drained", _DRAIN_S)
        if number == 1:
            figures.add("memory after the first backlog", worker.rss_mb(), "MB")
    figures.add("memory after the last backlog", worker.rss_mb(), "MB")
    figures.note(f"{rounds} backlogs of {routes:,} routes")


def _drained(client: redis.Redis, routes: int) -> bool:
    return entries(client) >= routes


def _seen_by_monitor(client: redis.Redis, seconds: float) -> tuple[int, int]:
    """Count the commands of clients, and those of scripts."""
    path = client.connection_pool.connection_kwargs["path"]
    seen = b""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(path)
        monitor.sendall(b"MONITOR\r\n")
        monitor.settimeout(0.1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(TimeoutError):
                seen += monitor.recv(1 << 16)
    lines = [line for line in seen.splitlines() if b"[" in line]
    inside = sum(b" lua]" in line for line in lines)
    return len(lines) - inside, inside
