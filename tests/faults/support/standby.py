"""A standby of a Postgres, which has all that was committed there, and may take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.postgres import Postgres, PostgresServer
from tests.support.wait import wait_until

_STANDBYS = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


@contextmanager
def standby_of(primary: Postgres) -> Iterator[Postgres]:
    """Run a standby; from then on a COMMIT at the primary waits for it."""
    server = PostgresServer()
    try:
        server.follow(primary.server)
        server.start()
        with primary.client() as client:
            client.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            client.execute("SELECT pg_reload_conf()")
            wait_until(
                lambda: client.execute(_STANDBYS).fetchone() == (1,), "commits wait for the standby"
            )
        yield Postgres(server, primary.database)
    finally:
        server.remove()
