"""The feed in Postgres: rows in batches of 500, beside a bare insert and COPY; and pages of a list.

The three ways of writing fill the same table, with all its indexes, in turns. The lists are those
of a user with a twenty-fifth of all rows.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import psycopg

from galaxy_notify.feed_store.inserting import columns
from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import NewItem
from galaxy_notify.settings.feed import FeedSettings
from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures, percentile
from tests.support.feed_store import new_item
from tests.support.postgres import Postgres, running_postgres

_BATCH, _USERS, _SHARE = 500, 20_000, 25
#: The server of the figures; everything else is as Postgres comes.
_SERVER: dict[str, Any] = {"shared_buffers": "512MB", "autovacuum": "on", "max_wal_size": "4GB"}

_NAMES = ", ".join(NewItem._fields[:-1])
_INTO = f"feed_item ({_NAMES}, created_at)"
_LISTS = ", ".join(
    f"%({name})s::{'bytea' if name == 'payload' else 'text'}[]" for name in NewItem._fields[:-1]
)
_BARE = (
    f"INSERT INTO {_INTO}"
    f" SELECT {_NAMES}, timestamptz 'epoch' + created_at_ms * interval '1 millisecond'"
    f" FROM unnest({_LISTS}, %(created_at_ms)s::bigint[]) AS given ({_NAMES}, created_at_ms)"
).encode()
_COPY = f"COPY {_INTO} FROM STDIN".encode()
#: A third of the rows is read. Their times are apart, and newest last.
_FILL = b"""
    INSERT INTO feed_item (
        user_id, notification_id, type, producer, severity, title, body, payload, created_at, at,
        read_at, seen_at
    )
    SELECT
        CASE WHEN n %% %(share)s = 0 THEN 'big' ELSE 'user-' || (random() * %(users)s)::int END,
        lpad(to_hex(1700000000000 + n), 12, '0') || substr(md5(n::text), 1, 20),
        'game.turn.' || n %% 7, 'lobby', 'info', 'Your turn', 'Turn ' || n || ' is yours now',
        decode(md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text), 'hex'),
        now(), now() - (%(rows)s - n) * interval '10 milliseconds',
        CASE WHEN n %% 3 = 0 THEN now() END, CASE WHEN n %% 3 = 0 THEN now() END
    FROM generate_series(1, %(rows)s::bigint) AS n
"""
_COUNT = b"""
    INSERT INTO feed_user (user_id, unread, unseen)
    SELECT user_id, count(*) FILTER (WHERE unread), count(*) FILTER (WHERE unseen)
    FROM feed_item GROUP BY user_id
"""
_READS: dict[str, Callable[[FeedStore], Awaitable[object]]] = {
    "list": lambda store: store.list("big", ListQuery()),
    "unread": lambda store: store.list("big", ListQuery(unread=True)),
    "counts": lambda store: store.counts("big"),
}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Write batches in three ways; then read a feed that is full."""
    rows = bench.size(5_000_000, 200_000)
    for _ in range(bench.runs):
        with running_postgres(**_SERVER) as postgres:
            asyncio.run(_write(postgres, bench.size(60, 10), figures))
        with running_postgres(**_SERVER) as postgres:
            asyncio.run(_read(postgres, rows, figures))
    figures.note(f"lists: of a user with {rows // _SHARE:,} of {rows:,} rows")


async def _write(postgres: Postgres, batches: int, figures: Figures) -> None:
    """Write so many batches in each way, in turns; a commit for each."""
    settings = FeedSettings(url=postgres.url)
    await migrate(settings)
    store = FeedStore.from_settings(settings)
    bare = await psycopg.AsyncConnection.connect(postgres.url, prepare_threshold=None)

    async def unnest(items: list[NewItem]) -> None:
        await bare.execute(_BARE, columns(items))
        await bare.commit()

    async def copy(items: list[NewItem]) -> None:
        async with bare.cursor() as cursor, cursor.copy(_COPY) as copying:
            for item in items:
                await copying.write_row((*item[:-1], "2026-01-01"))
        await bare.commit()

    ways: dict[str, Callable[[list[NewItem]], Awaitable[object]]]
    ways = {"counted": store.insert, "bare unnest": unnest, "COPY": copy}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(batches):
        for name, write in ways.items():
            items = [_item() for _ in range(_BATCH)]
            began = time.perf_counter()
            await write(items)
            took[name].append(time.perf_counter() - began)
    for name, times in took.items():
        figures.add(name, _BATCH / median(times), "rows/s")
    figures.add("counted: p99 of a batch", percentile(took["counted"], 0.99) * 1000, "ms")
    await bare.close()
    await store.close()


async def _read(postgres: Postgres, rows: int, figures: Figures) -> None:
    """Read pages and counts of one user among many."""
    settings = FeedSettings(url=postgres.url)
    await migrate(settings)
    with postgres.client() as client:
        client.execute("SET statement_timeout = 0")
        client.execute(_FILL, {"rows": rows, "share": _SHARE, "users": _USERS})
        client.execute(_COUNT)
        client.execute("VACUUM ANALYZE")
        size = client.execute("SELECT pg_total_relation_size('feed_item')").fetchall()[0][0]
    figures.add("size", size / rows, "B/row")
    store = FeedStore.from_settings(settings)
    for name, read in _READS.items():
        times = []
        for _ in range(300):
            began = time.perf_counter()
            await read(store)
            times.append(time.perf_counter() - began)
        for share in (0.5, 0.99):
            figures.add(f"{name}: p{share * 100:g}", percentile(times, share) * 1000, "ms")
    await store.close()


def _item() -> NewItem:
    return new_item(f"user-{random.randrange(_USERS)}", payload=os.urandom(120))
