"""What doctor learns from the Postgres of a feed: the schema, its limits, its tables."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.errors import ConfigurationError, FeedUnavailable
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.report import PostgresReport, read_report
from galaxy_notify.operations.feed_checks import judge_postgres, postgres_findings
from galaxy_notify.settings import FeedSettings, settings_from
from tests.support.pgbouncer import needs_pgbouncer, running_pgbouncer
from tests.support.postgres import Postgres


def _report(feed: FeedSettings) -> PostgresReport:
    return asyncio.run(read_report(feed))


def _migrated(postgres: Postgres) -> FeedSettings:
    feed = FeedSettings(url=postgres.url)
    asyncio.run(migrate(feed))
    return feed


def _problems(report: PostgresReport) -> list[str]:
    found = judge_postgres(report, 0)
    return [finding.what for finding in found if finding.level != "ok"]


def test_report__of_an_empty_database_names_the_missing_steps(postgres: Postgres) -> None:
    """What `feed migrate` would apply; without tables there is nothing to measure."""
    report = _report(FeedSettings(url=postgres.url))
    assert report.missing
    assert report.missing[0].startswith("0001_")
    assert report.tables == []
    assert report.user == "galaxy"
    (missing, _) = _problems(report)
    assert missing.startswith("the schema of the feed lacks 0001_")


def test_report__of_a_migrated_database_has_its_limits(postgres: Postgres) -> None:
    """The time-outs are enforced on the user; a user without them is named."""
    feed = _migrated(postgres)
    report = _report(feed)
    assert (report.missing, report.unenforced, report.is_read_only) == ([], [], False)
    assert [table.name for table in report.tables] == ["feed_item", "feed_user"]
    assert report.pooling == "none"
    # The server of the tests vacuums only when it is told to.
    assert _problems(report) == ["autovacuum is off"]
    (good,) = judge_postgres(report._replace(vacuums_itself=True), 0)
    assert good.what.startswith(f"PostgreSQL {report.version // 10_000}, about 0 notifications")
    with postgres.client() as client:
        client.execute("ALTER ROLE galaxy IN DATABASE " + postgres.database + " RESET ALL")
    assert "the user galaxy has no statement_timeout" in _problems(_report(feed))[0]


def test_report__names_the_rights_that_a_user_lacks(postgres: Postgres) -> None:
    """One who does not own the tables; the advice is the statement that grants them."""
    _migrated(postgres)
    guest = f"guest_{postgres.database}"
    feed = FeedSettings(url=postgres.url.replace("://galaxy@", f"://{guest}@"))
    with postgres.client() as client:
        client.execute(f"CREATE ROLE {guest} LOGIN")
        client.execute(f"GRANT SELECT ON feed_migration, feed_item TO {guest}")
        try:
            found = next(judge_postgres(_report(feed), 0))
            assert found.what.startswith(f"the user {guest} lacks SELECT on feed_epoch, UPDATE on ")
            assert "DELETE on feed_item" in found.what
            client.execute(found.todo.strip("`").encode())
            assert _report(feed).denied == ()
        finally:
            client.execute(f"DROP OWNED BY {guest}")
            client.execute(f"DROP ROLE {guest}")


def test_report__counts_dead_rows(postgres: Postgres) -> None:
    """Rows that were replaced, until vacuum removes them."""
    feed = _migrated(postgres)
    with postgres.client() as client:
        client.execute(
            "INSERT INTO feed_user (user_id) SELECT 'u' || n FROM generate_series(1, 50) n"
        )
        client.execute("UPDATE feed_user SET unread = 1")
        client.execute("SELECT pg_stat_force_next_flush()")
        client.execute("SELECT 1")
    users = _report(feed).tables[1]
    assert (users.live, users.dead, users.vacuumed_ms) == (50, 50, None)
    assert users.bytes > 0
    with postgres.client() as client:
        client.execute("VACUUM feed_user")
    vacuumed = _report(feed).tables[1]
    assert vacuumed.dead == 0
    assert vacuumed.vacuumed_ms is not None


def test_report__of_a_read_only_database_says_so(postgres: Postgres) -> None:
    """Such as that of a standby: the feed cannot be written."""
    feed = _migrated(postgres)
    with postgres.client() as client:
        client.execute(f"ALTER DATABASE {postgres.database} SET default_transaction_read_only = on")
    report = _report(feed)
    assert report.is_read_only
    assert _problems(report)[0].startswith("Postgres refuses writes")


def test_report__of_a_newer_schema_is_refused(postgres: Postgres) -> None:
    """The doctor repeats what every process would say."""
    feed = _migrated(postgres)
    with postgres.client() as client:
        client.execute("INSERT INTO feed_migration (number, name, checksum) VALUES (99, 'x', 'x')")
    with pytest.raises(ConfigurationError, match="the schema of the feed has step 0099"):
        _report(feed)
    (found,) = postgres_findings(settings_from({"feed": {"url": postgres.url}}))
    assert (found.level, found.check) == ("error", "postgres")
    assert "step 0099" in found.what


@needs_pgbouncer
def test_report__knows_a_pooler_and_what_it_shares(postgres: Postgres) -> None:
    """Two clients that are given the same connection one after the other share it."""
    _migrated(postgres)
    with running_pgbouncer(postgres, connections=1) as bouncer:
        report = _report(FeedSettings(url=bouncer.url))
    assert report.pooling == "transaction"
    assert report.missing == []
    assert report.unenforced == []


def test_report__while_postgres_is_away(postgres: Postgres) -> None:
    """An error with the server's name, in bounded time."""
    feed = FeedSettings(url="postgresql://u@127.0.0.1:9/d")
    with pytest.raises(FeedUnavailable):
        _report(feed)
    (found,) = postgres_findings(settings_from({"feed": {"url": feed.url}}))
    assert (found.level, found.risk) == ("error", "availability")
    assert "127.0.0.1:9/d" in found.what
