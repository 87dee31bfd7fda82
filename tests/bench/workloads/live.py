"""Steady arrivals from a producer process on the same machine, with a peak of its own."""

from __future__ import annotations

from tests.bench.arrivals import Arrivals
from tests.bench.bench_run import BenchRun
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.load import Load
from tests.bench.workloads.steady import find

# Producer and worker share the processors: nobody publishes at the rate of a drain meanwhile.
_HIGHEST = 0.6


def measure(bench: BenchRun, figures: Figures) -> None:
    """Try rates, each accepted while it is published."""
    with bench.server() as server:
        arrivals = Arrivals(server, bench.size(5, 1))
        for _ in range(bench.runs):
            highest = drain(server, Load(bench.size(100_000, 20_000))).rate
            find(bench, figures, arrivals.living, highest * _HIGHEST)
