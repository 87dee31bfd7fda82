"""What an operator has to know of the Postgres of a feed: one look, for ``doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from galaxy_notify.feed_store import migrations
from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.statements import statement
from galaxy_notify.settings.feed import FeedSettings

#: Whether a pooler such as PgBouncer is in between, and whether clients share its connections by
#: transactions. A pooler of which clients keep theirs may only happen to be busy: it is a session.
Pooling = Literal["none", "session", "transaction"]

_ENFORCED: Final = ("statement_timeout", "idle_in_transaction_session_timeout")


class Table(NamedTuple):
    """A table: rows that live, rows that were replaced and wait for vacuum, bytes with indexes.

    *vacuumed_ms* is when it was vacuumed last, in epoch ms; None for never.
    """

    name: str
    live: int
    dead: int
    bytes: int
    vacuumed_ms: int | None


class PostgresReport(NamedTuple):
    """A Postgres as `FeedSettings` reach it.

    *server* names it in texts. *missing* are the steps of the schema that it lacks; without any,
    *tables* are its tables. *denied* are rights on tables that the user lacks, such as
    ``INSERT on feed_item``; *unenforced* are the time-outs that it lacks in this database.
    """

    server: str
    version: int
    user: str
    is_read_only: bool
    vacuums_itself: bool
    pooling: Pooling
    missing: Sequence[str]
    denied: Sequence[str]
    unenforced: Sequence[str]
    tables: Sequence[Table]


async def read_report(feed: FeedSettings, url: str | None = None) -> PostgresReport:
    """Return how the Postgres of a feed stands; *url* as for a `Database`.

    Raises `FeedUnavailable`, `Misconfigured`, and `ConfigurationError` for the schema of another
    version.
    """
    database, beside = Database(feed, url), Database(feed, url)
    try:
        steps = await migrations.status(database)
        report, backend = await database.run(_read)
        # The first connection is idle now, and open.
        other = await beside.run(_backend) if report.pooling != "none" else 0
    finally:
        await beside.close()
        await database.close()
    shares = report.pooling != "none" and backend == other
    pooling: Pooling = "transaction" if shares else report.pooling
    return report._replace(server=database.server, missing=steps.missing, pooling=pooling)


async def _read(connection: Connection) -> tuple[PostgresReport, int]:
    """Return what a connection shows, and which process of the server did the work."""
    cursor = await connection.execute(statement("report_server"))
    version, read_only, user, vacuums, backend = await cursor.fetchone() or (0, False, "", True, 0)
    cursor = await connection.execute(statement("role_settings"))
    limits = {item.partition("=")[0] for item in (await cursor.fetchone() or [None])[0] or ()}
    cursor = await connection.execute(statement("report_rights"))
    denied = (await cursor.fetchone() or [None])[0] or ()
    cursor = await connection.execute(statement("report_tables"))
    tables = [Table(*row) for row in await cursor.fetchall()]
    # A pooler greets its clients with a process id of its own.
    pooling: Pooling = "none" if connection.pgconn.backend_pid == backend else "session"
    unenforced = [name for name in _ENFORCED if name not in limits]
    report = PostgresReport(
        "", version, user, read_only, vacuums, pooling, (), denied, unenforced, tables
    )
    return report, backend


async def _backend(connection: Connection) -> int:
    cursor = await connection.execute("SELECT pg_backend_pid()")
    return int((await cursor.fetchone() or [0])[0])
