"""The Postgres of the feed's workloads, and what it spends and holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.settings.feed import FeedSettings
from tests.bench.processes import cpu_s
from tests.support.postgres import Postgres, running_postgres

#: Everything else is as Postgres comes: each COMMIT waits for the disk.
_SERVER: dict[str, Any] = {"shared_buffers": "512MB", "autovacuum": "on", "max_wal_size": "4GB"}
_ROWS = b"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM feed_item_id_seq"
_FOUND = b"""
    SELECT count(*), count(DISTINCT (user_id, notification_id)),
        (SELECT coalesce(sum(unread), 0) FROM feed_user)
    FROM feed_item
"""


@contextmanager
def feed_server() -> Iterator[Postgres]:
    """Run a server with the schema of the feed; its files are where temporary ones are."""
    with running_postgres(**_SERVER) as postgres:
        asyncio.run(migrate(FeedSettings(url=postgres.url)))
        yield postgres


def server_cpu_s(postgres: Postgres) -> float:
    """Return the processor time of a server: its own, and that of the processes it has now."""
    pid = postgres.server.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(cpu_s(one) for one in (pid, *map(int, children)))


def rows(client: psycopg.Connection[Any]) -> int:
    """Return how many rows were numbered so far, without reading any."""
    return int(client.execute(_ROWS).fetchall()[0][0])


def check_rows(postgres: Postgres, expected: int) -> None:
    """Raise where there are not exactly so many rows, all counted as unread."""
    with postgres.client() as client:
        found = client.execute(_FOUND).fetchall()[0]
    if {*map(int, found)} != {expected}:
        raise RuntimeError(f"rows, different ones, unread ones: {found} instead of {expected}")
