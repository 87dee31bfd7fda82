"""The Postgres of the tests: empty for each, and there again after a crash."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.postgres import PASSWORD, Postgres, running_postgres


def _tables(postgres: Postgres) -> int:
    with postgres.client() as client:
        row = client.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        return int(row.fetchone()[0])  # type: ignore[index]


@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_an_empty_database(postgres: Postgres, time: int) -> None:
    """What a test makes is not there for the next one."""
    assert _tables(postgres) == 0
    with postgres.client() as client:
        client.execute("CREATE TABLE kept (id int)")
    assert _tables(postgres) == 1


def test_killed__keeps_what_was_committed() -> None:
    """A killed server ends its connections, and has after its start what was committed."""
    with running_postgres() as postgres, postgres.client() as client:
        client.execute("CREATE TABLE kept (id int)")
        postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
        postgres.start()
        assert _tables(postgres) == 1


def test_paused__takes_connections_and_answers_nothing(postgres: Postgres) -> None:
    """A frozen server lets a client wait until it goes on."""
    postgres.pause()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        postgres.client(connect_timeout=2)
    postgres.resume()
    assert _tables(postgres) == 0


def test_asks_password__over_tcp_only() -> None:
    """A server that asks for a password refuses who has none."""
    with running_postgres(asks_password=True) as postgres:
        with pytest.raises(psycopg.OperationalError, match="no password"):
            psycopg.connect(postgres.tcp_url)
        psycopg.connect(postgres.tcp_url, password=PASSWORD).close()


@pytest.mark.parametrize("time", [1, 2])
def test_each_test_of_the_feed_has_its_schema(feed_database: Postgres, time: int) -> None:
    """The database of a test of the feed is migrated, and has no row of another test."""
    with feed_database.client() as client:
        assert client.execute("SELECT FROM feed_migration").rowcount > 0
        assert client.execute("SELECT FROM feed_user").rowcount == 0
        client.execute("INSERT INTO feed_user (user_id) VALUES ('ada')")
