"""One worker process on a deployment of 1, 2, 4 and 8 shards, all on one server."""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.drain import drain_together
from tests.bench.figures import Figures
from tests.bench.load import Load


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog from each number of shards, once a run."""
    load = Load(bench.size(100_000, 20_000))
    with bench.server() as server:
        for _ in range(bench.runs):
            for shards in (1, 2, 4, 8):
                work = drain_together(server, load, 1, shards)
                name = f"{shards} shards" if shards > 1 else "1 shard"
                figures.add(name, work.rate, "routes/s")
