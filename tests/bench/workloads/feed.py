"""The feed in Postgres: rows a second, in batches of 500 with a COMMIT each, and what a row takes.

The ways of writing fill the same table, with all its indexes, in turns, for 20,000 users by chance:
*counted* is what the feed does, with the users' locks and counts; *bare unnest* is one INSERT, and
COPY is one as well, of the same rows without locks, counts and a look for what is there already.
*The process* is `galaxy-notify feed` with all that it does: it reads the gateway stream, writes
rows, counts and marks, and acknowledges. Each COMMIT waits for the disk. Sizes are those after it,
of rows with 150 bytes of text.
"""

from __future__ import annotations

import asyncio
import random
import time
from statistics import median

from tests.bench.bench_run import BenchRun
from tests.bench.feeds.draining import drain_into
from tests.bench.feeds.server import feed_server
from tests.bench.feeds.ways import BATCH, COUNTED, USERS, batch, opened_ways
from tests.bench.figures import Figures, percentile
from tests.bench.gateways.events import Numbers
from tests.support.postgres import Postgres


def measure(bench: BenchRun, figures: Figures) -> None:
    """Write batches in three ways; then let a process drain a stream."""
    events = Numbers(0, bench.size(100_000, 10_000), USERS)
    with bench.server() as server:
        for _ in range(bench.runs):
            with feed_server() as postgres:
                asyncio.run(_write(postgres, bench.size(100, 10), figures))
            drain_into(figures, "the process", server, events)


async def _write(postgres: Postgres, batches: int, figures: Figures) -> None:
    """Write so many batches in each way, in turns."""
    async with opened_ways(postgres) as ways:
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(batches):
            # By chance: who comes behind another pays for what that left to be written.
            for name in random.sample([*ways], len(ways)):
                items = batch()
                began = time.perf_counter()
                await ways[name](items)
                took[name].append(time.perf_counter() - began)
    for name, times in took.items():
        figures.add(name, BATCH / median(times), "rows/s")
    figures.add("counted: p99 of a batch", percentile(took[COUNTED], 0.99) * 1000, "ms")
