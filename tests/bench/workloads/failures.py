"""A backlog in which routes fail once or permanently: retries and dead letters."""

from __future__ import annotations

from tests.bench.bench_run import BenchRun, patient, total
from tests.bench.drain import drain_filled
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import daemons
from tests.bench.stream import check_each_once
from tests.bench.watch import watch
from tests.support.servers import Server

_KINDS = {
    "1 % retried": "retry_1",
    "50 % retried": "retry_50",
    "1 % dead": "bury_1",
    "50 % dead": "bury_50",
}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog with each share of failures, beside one without."""
    routes = bench.size(50_000, 10_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            server.flush()
            fill(server.tcp_url, Load(routes))
            figures.add("no failure", drain_filled(server, routes).rate, "routes/s")
            for name, encoder in _KINDS.items():
                figures.add(name, _rate(server, routes, encoder), "routes/s")


def _rate(server: Server, routes: int, encoder: str) -> float:
    server.flush()
    fill(server.tcp_url, Load(routes))
    settings = {
        "GATEWAY__ENCODER": f"tests.bench.encoders:{encoder}",
        "RETRY__BACKOFF_MIN_MS": "1",
        "RETRY__BACKOFF_MAX_MS": "1",
        "RETRY__JITTER": "none",
    }
    with patient(server) as client:
        with daemons(server.tcp_url, settings) as workers:
            ended = ("published", "dead_lettered")
            work = watch(client, workers, lambda: total(client, *ended), routes)
        check_each_once(client, routes - total(client, "dead_lettered"))
    return work.rate
