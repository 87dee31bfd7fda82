"""Draining a backlog: single recipients and fan-outs, small and large texts, and the baselines."""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.drain import add_work, drain, drain_floor, drain_sequential
from tests.bench.figures import Figures
from tests.bench.load import Load

_KILO = {200: "200 B", 2000: "2 KB", 20_000: "20 KB"}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain each backlog once a run, one after the other, beside both baselines."""
    routes = bench.size(100_000, 30_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            add_work(figures, "sequential loop", drain_sequential(server, routes // 20))
            add_work(figures, "floor", drain_floor(server, routes * 2))
            for size, name in _KILO.items():
                fewer = min(routes, 200_000_000 // size // 2)
                single = drain(server, Load(fewer, text_bytes=size))
                add_work(figures, f"single, {name}", single)
                many = drain(server, Load(fewer // 100, fan_out=100, text_bytes=size))
                add_work(figures, f"fan-out of 100, {name}", many)
