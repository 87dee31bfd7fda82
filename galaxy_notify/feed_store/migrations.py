"""Migrations: the schema of the feed, in numbered steps that are applied once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Final, NamedTuple

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.statements import SQL_DIR, statement
from galaxy_notify.settings.feed import FeedSettings

_FILE: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
#: Of building an index over all rows, or of waiting for another process that does.
_STATEMENT_MS: Final = 3_600_000
_ENFORCED: Final = ("statement_timeout", "idle_in_transaction_session_timeout")


class Migration(NamedTuple):
    """A step of the schema; *checksum* is that of its text."""

    number: int
    name: str
    text: str
    checksum: str


class Status(NamedTuple):
    """How many steps a database has, and which of this version's it lacks."""

    applied: int
    missing: Sequence[str]


@cache
def shipped() -> Sequence[Migration]:
    """Return the steps of this version, in their order."""
    return tuple(
        Migration(int(found[1]), path.stem, text, sha256(text.encode()).hexdigest())
        for path in sorted((SQL_DIR / "migrations").iterdir())
        if (found := _FILE.fullmatch(path.name)) and (text := path.read_text(encoding="utf-8"))
    )


def sql() -> str:
    """Return all that `migrate` does to an empty database, as one script for psql."""
    steps = [f"{step.text}\n{_record(step)};\n" for step in shipped()]
    table = (SQL_DIR / "migration_table.sql").read_text(encoding="utf-8")
    return "\n".join(["BEGIN;\n", table, *steps, "COMMIT;\n"])


async def migrate(feed: FeedSettings, url: str | None = None) -> list[str]:
    """Bring the schema up to this version, and return the names of the steps that were applied.

    All of them are one transaction. Of two processes that do so at once, one waits. The time-outs
    of statements are also set on the user, for this database. *url* as for a `Database`. Raises
    `ConfigurationError` where the database is of a newer version, or its steps are other ones.
    """
    database = Database(feed.model_copy(update={"statement_timeout_ms": _STATEMENT_MS}), url)

    async def apply(connection: Connection) -> list[str]:
        await _check_encoding(connection)
        await connection.execute(statement("migration_lock"))
        # A user who owns no table may look whether there is something to do.
        if not await _exists(connection):
            await connection.execute(statement("migration_table"))
        missing = _missing(await _applied(connection))
        for step in missing:
            await connection.execute(step.text.encode())
            await connection.execute(_record(step).encode())
        await _enforce(connection, feed.statement_timeout_ms)
        return [step.name for step in missing]

    try:
        return await database.run(apply)
    finally:
        await database.close()


async def status(database: Database) -> Status:
    """Return which steps the database has.

    Raises `ConfigurationError` where it is of a newer version, or its steps are other ones.
    """

    async def read(connection: Connection) -> Status:
        applied = await _applied(connection) if await _exists(connection) else {}
        return Status(len(applied), [step.name for step in _missing(applied)])

    return await database.run(read)


async def check(database: Database) -> None:
    """Return if the schema is this version's, else raise `ConfigurationError`."""
    found = await status(database)
    if found.missing:
        raise ConfigurationError(
            f"the schema of the feed lacks {', '.join(found.missing)} ({database.server}):"
            " run galaxy-notify feed migrate"
        )


async def _check_encoding(connection: Connection) -> None:
    cursor = await connection.execute("SHOW server_encoding")
    encoding = (await cursor.fetchone() or [""])[0]
    if encoding != "UTF8":
        raise ConfigurationError(
            f"feed.url: the database has the encoding {encoding}: create it with ENCODING 'UTF8'"
        )


async def _exists(connection: Connection) -> bool:
    cursor = await connection.execute(statement("migration_exists"))
    return bool((await cursor.fetchone() or [False])[0])


async def _applied(connection: Connection) -> dict[int, str]:
    cursor = await connection.execute(statement("migration_applied"))
    return {number: checksum for number, checksum in await cursor.fetchall()}


def _missing(applied: dict[int, str]) -> list[Migration]:
    """Return the steps that a database lacks which has those *applied*."""
    known = {step.number: step for step in shipped()}
    if newer := sorted(applied.keys() - known.keys()):
        raise ConfigurationError(
            f"the schema of the feed has step {newer[-1]:04}, this version knows"
            f" {max(known):04}: use the version of galaxy-notify that applied it, or a newer one"
        )
    for number, checksum in sorted(applied.items()):
        if known[number].checksum != checksum:
            raise ConfigurationError(
                f"the schema of the feed: step {known[number].name} was applied with another text"
                " than this version has"
            )
    return [step for step in shipped() if step.number not in applied]


def _record(step: Migration) -> str:
    return (
        "INSERT INTO feed_migration (number, name, checksum)"
        f" VALUES ({step.number}, '{step.name}', '{step.checksum}')"
    )


async def _enforce(connection: Connection, statement_ms: int) -> None:
    """Set the time-outs on the user as well, for what another client does in its name."""
    cursor = await connection.execute(statement("role_settings"))
    found = set((await cursor.fetchone() or [[]])[0] or [])
    for name in _ENFORCED:
        if f"{name}={statement_ms}" not in found:
            limit = statement("role_limit", name=name, milliseconds=str(statement_ms))
            await connection.execute(limit)
