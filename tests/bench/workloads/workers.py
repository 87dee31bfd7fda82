"""One, two and four worker processes on one server."""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.drain import drain_together
from tests.bench.figures import Figures
from tests.bench.load import Load


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog with each number of workers, once a run."""
    load = Load(bench.size(100_000, 30_000))
    with bench.server() as server:
        for _ in range(bench.runs):
            for workers in (1, 2, 4):
                work = drain_together(server, load, workers)
                name = f"{workers} workers" if workers > 1 else "1 worker"
                figures.add(name, work.rate, "routes/s")
                figures.add(f"{name}: scripts", work.scripts, "per 1,000 routes")
                figures.add(f"{name}: workers", work.worker_us, "µs/route")
