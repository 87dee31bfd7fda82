"""Many routes that are due in the same millisecond."""

from __future__ import annotations

from tests.bench.arrivals import Arrivals
from tests.bench.bench_run import BenchRun
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.load import Load


def measure(bench: BenchRun, figures: Figures) -> None:
    """Make them due at once, beside a backlog of as many that is drained."""
    routes = bench.size(100_000, 20_000)
    with bench.server() as server:
        arrivals = Arrivals(server, 1.0)
        for _ in range(bench.runs):
            figures.add("backlog", drain(server, Load(routes)).rate, "routes/s")
            late = arrivals.beforehand(routes, at_once=True)
            if not late.complete:
                raise RuntimeError("not all routes were published")
            late.add_to(figures, f"{routes:,} at once")
            figures.add("at once", routes * 0.99 / max(late.p99, 1) * 1000, "routes/s")
