"""The schema: applied once, by one process at a time, and never a newer or another one's."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.feed_store import migrations
from galaxy_notify.feed_store.database import Database
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings.feed import FeedSettings
from tests.support.feed_store import FeedFixture
from tests.support.postgres import Postgres
from tests.support.wait import until

NAMES = [step.name for step in migrations.shipped()]
_LIMITS = """
    SELECT setconfig FROM pg_db_role_setting
    JOIN pg_database ON setdatabase = pg_database.oid WHERE datname = current_database()
"""
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def _ready(settings: FeedSettings) -> None:
    store = FeedStore.from_settings(settings)
    try:
        await store.ready()
    finally:
        await store.close()


def test_migrate__once(postgres: Postgres) -> None:
    """The first time applies all steps, the second none; then the store is ready."""
    settings = FeedSettings(url=postgres.url)
    with pytest.raises(ConfigurationError, match=r"lacks 0001_feed .*: run galaxy-notify feed mig"):
        asyncio.run(_ready(settings))
    assert asyncio.run(migrations.migrate(settings)) == NAMES
    assert asyncio.run(migrations.migrate(settings)) == []
    asyncio.run(_ready(settings))


def test_migrate__sets_the_time_outs_on_the_user(postgres: Postgres) -> None:
    """They hold for this database, also for what other programs do as that user."""
    for limit in (4321, 1234):
        asyncio.run(migrations.migrate(FeedSettings(url=postgres.url, statement_timeout_ms=limit)))
    with postgres.client() as client:
        found = client.execute(_LIMITS).fetchall()
    assert found == [(["statement_timeout=1234", "idle_in_transaction_session_timeout=1234"],)]


def test_migrate__by_a_user_who_owns_no_table(postgres: Postgres) -> None:
    """With nothing to do it needs no right to create tables, and sets the time-outs."""
    asyncio.run(migrations.migrate(FeedSettings(url=postgres.url)))
    guest = f"guest_{postgres.database}"
    settings = FeedSettings(url=postgres.url.replace("://galaxy@", f"://{guest}@"))
    with postgres.client() as client:
        client.execute(f"CREATE ROLE {guest} LOGIN")
        client.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        client.execute(f"GRANT SELECT ON feed_migration TO {guest}")
        try:
            assert asyncio.run(migrations.migrate(settings)) == []
            assert len(client.execute(_LIMITS).fetchall()) == 2
        finally:
            client.execute(f"DROP OWNED BY {guest}")
            client.execute(f"DROP ROLE {guest}")


def test_migrate__by_two_processes(postgres: Postgres) -> None:
    """One waits for the other, and then finds nothing to do."""

    async def both() -> list[list[str]]:
        settings = FeedSettings(url=postgres.url)
        with postgres.client(autocommit=False) as holder, postgres.client() as watcher:
            holder.execute("SELECT pg_advisory_xact_lock(7366918425)")
            running = [asyncio.create_task(migrations.migrate(settings)) for _ in range(2)]
            await until(lambda: watcher.execute(_WAITING).fetchone() == (2,), "both wait")
            holder.commit()
            return sorted(await asyncio.gather(*running))

    assert asyncio.run(both()) == [[], NAMES]


def test_sql__does_the_same(postgres: Postgres) -> None:
    """What is printed is all that is needed: afterwards no step is missing."""
    with postgres.client() as client:
        client.execute(migrations.sql().encode())
    settings = FeedSettings(url=postgres.url)
    asyncio.run(_ready(settings))
    assert asyncio.run(migrations.migrate(settings)) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            "INSERT INTO feed_migration VALUES (9999, '9999_later', 'x')",
            "the schema of the feed has step 9999, this version knows 0001: use the version",
        ),
        (
            "UPDATE feed_migration SET checksum = 'x'",
            "the schema of the feed: step 0001_feed was applied with another text",
        ),
    ],
)
def test_schema__of_another_version(feed: FeedFixture, change: str, error: str) -> None:
    """A newer schema, or one with other steps, is refused by all that looks at it."""
    feed.change(change)
    with pytest.raises(ConfigurationError, match=error):
        feed.run(feed.store.ready())
    with pytest.raises(ConfigurationError, match=error):
        feed.run(migrations.migrate(feed.settings))


def test_migrate__is_all_or_nothing(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that fails leaves nothing of those before it."""
    broken = migrations.Migration(2, "0002_broken", "CREATE TABLE feed_epoch ()", "x")
    steps = (*migrations.shipped(), broken)
    monkeypatch.setattr(migrations, "shipped", lambda: steps)
    with pytest.raises(ConfigurationError, match='"feed_epoch" already exists'):
        asyncio.run(migrations.migrate(FeedSettings(url=postgres.url)))
    with postgres.client() as client, pytest.raises(psycopg.errors.UndefinedTable):
        client.execute("SELECT FROM feed_migration")


def test_status(postgres: Postgres) -> None:
    """It says how many steps there are, and which are missing; also in an empty database."""
    settings = FeedSettings(url=postgres.url)

    async def found() -> migrations.Status:
        database = Database(settings)
        try:
            return await migrations.status(database)
        finally:
            await database.close()

    assert asyncio.run(found()) == (0, NAMES)
    asyncio.run(migrations.migrate(settings))
    assert asyncio.run(found()) == (len(NAMES), [])


def test_database__of_another_encoding(postgres: Postgres) -> None:
    """A database that cannot hold all texts is refused, with what to do."""
    with postgres.server.client() as client:
        client.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    try:
        settings = FeedSettings(url=postgres.server.url("latin"))
        with pytest.raises(ConfigurationError, match=r"feed.url: .* has the encoding LATIN1"):
            asyncio.run(migrations.migrate(settings))
    finally:
        postgres.server.drop_database("latin")
