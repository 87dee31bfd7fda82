"""The lists of a feed with 5,000,000 rows, of which one user has 200,000.

A page has 50 items. *List*, *unread* and *counts* are reads of that user, about 50 a second in all,
*of others* those of users with some 25 items. *Nothing* is a transaction that only asks for the
time: what the way to Postgres takes on this machine. *Beside a writer* 4 readers, each a process,
read while batches of 500 are written as fast as they go, each with an item of the large user.
*Mark all* marks what is unread of the large user, in transactions of 500; beside it that user is
sent an item now and then, which waits for the lock. All rows lie on a disk, and fit into memory.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack

from galaxy_notify.feed_store.store import FeedStore
from tests.bench.bench_run import BenchRun
from tests.bench.feeds.full import BIG, SHARE, fill
from tests.bench.feeds.reader import READS, Took, read
from tests.bench.feeds.server import feed_server
from tests.bench.feeds.ways import BATCH, batch, opened_store
from tests.bench.figures import Figures, percentile
from tests.bench.processes import Running, running
from tests.support.feed_store import new_item
from tests.support.postgres import Postgres

_READERS = 4
_PAUSE_S = 0.01
_OTHERS = [f"user-{number}" for number in range(1, 1000)]


def measure(bench: BenchRun, figures: Figures) -> None:
    """Fill a feed; read it, write into it and mark it."""
    rows, reads = bench.size(5_000_000, 200_000), bench.size(500, 50)
    for _ in range(bench.runs):
        with feed_server() as postgres:
            fill(postgres, rows)
            asyncio.run(_alone(postgres, reads, figures))
            asyncio.run(_beside_writer(postgres, reads, figures))
            asyncio.run(_mark_all(postgres, figures))
    figures.note(f"of {rows:,} rows the user has {rows // SHARE:,}")


async def _alone(postgres: Postgres, reads: int, figures: Figures) -> None:
    async with opened_store(postgres) as store:
        _add(figures, "", await read(store, [BIG], reads))
        _add(figures, ", of others", await read(store, _OTHERS, reads))


async def _beside_writer(postgres: Postgres, reads: int, figures: Figures) -> None:
    with ExitStack() as stack:
        readers = [
            stack.enter_context(running("tests.bench.feeds.reader", postgres.url, str(reads), BIG))
            for _ in range(_READERS)
        ]
        async with opened_store(postgres) as store:
            rate = await _write_until_ended(store, readers)
        for one in readers:
            one.wait(0)
        found = [json.loads(one.output()) for one in readers]
    took = {name: [each for one in found for each in one[name]] for name in READS}
    _add(figures, ", beside a writer", took)
    figures.add("written beside 4 readers", rate, "rows/s")


async def _write_until_ended(store: FeedStore, readers: list[Running]) -> float:
    """Write at full speed until all readers have ended; return the rows a second."""
    written, began = 0, time.perf_counter()
    while not all(one.has_ended for one in readers):
        items = batch()
        items[0] = items[0]._replace(user_id=BIG)
        await store.insert(items)
        written += BATCH
    return written / (time.perf_counter() - began)


async def _mark_all(postgres: Postgres, figures: Figures) -> None:
    async with opened_store(postgres) as store, opened_store(postgres) as sender:
        unread = (await store.counts(BIG)).unread
        marking = asyncio.create_task(store.mark_all_read(BIG, None))
        began, waited, blocked = time.perf_counter(), list[float](), 0
        while not marking.done():
            sent = time.perf_counter()
            blocked += len((await sender.insert([new_item(BIG)])).blocked)
            waited.append(time.perf_counter() - sent)
            await asyncio.sleep(_PAUSE_S)
        seconds = time.perf_counter() - began
        figures.add("mark all", seconds, "s")
        figures.add("mark all: items", unread / seconds, "items/s")
        for share in (0.5, 0.99):
            name = f"an item sent meanwhile: p{share * 100:g}"
            figures.add(name, percentile(waited, share) * 1000, "ms")
        figures.add("items sent meanwhile that were left for later", blocked, "items")
        _add(figures, ", all just marked", await read(store, [BIG], 100))


def _add(figures: Figures, where: str, took: Took) -> None:
    for name, times in took.items():
        for share in (0.5, 0.99):
            figures.add(f"{name}{where}: p{share * 100:g}", percentile(times, share) * 1000, "ms")
