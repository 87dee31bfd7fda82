"""Row P8: what may stand between a writer and Postgres: PgBouncer, another primary, a password."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.conftest import NewFeedRun
from tests.faults.support.standby import standby_of
from tests.support.pgbouncer import needs_pgbouncer, running_pgbouncer
from tests.support.postgres import PASSWORD

pytestmark = [pytest.mark.slow, pytest.mark.extended]

_END_ALL = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND usename = current_user AND backend_type = 'client backend'
"""


@needs_pgbouncer
def test_rowp8__pgbouncer_in_transaction_mode(feed_run: NewFeedRun) -> None:
    """Two writers share few connections; it and Postgres restart: they go on."""
    one = feed_run()
    with running_pgbouncer(one.postgres, connections=2) as bouncer:
        writers = [one.writer(url=bouncer.url) for _ in range(2)]
        one.publish(range(500))
        one.wait_until_written()
        bouncer.stop()
        one.publish(range(500, 1000))
        bouncer.start()
        one.wait_until_written()
        one.postgres.kill()
        one.publish(range(1000, 1500))
        one.postgres.start()
        one.wait_until_written()
        for writer in writers:
            assert "prepared statement" not in writer.log.read_text()
    assert "prepared statement" not in one.postgres.server.log
    one.assert_exact()


def test_rowp8__standby_takes_over(feed_run: NewFeedRun) -> None:
    """The primary dies, the standby is promoted: writers find it by the second host."""
    one = feed_run()
    with standby_of(one.postgres) as standby:
        hosts = f"127.0.0.1:{one.postgres.server.port},127.0.0.1:{standby.server.port}"
        url = f"postgresql://galaxy@{hosts}/{standby.database}?target_session_attrs=read-write"
        writers = [one.writer(url=url) for _ in range(2)]
        one.publish(range(500))
        one.wait_until_written()
        one.publish(range(500, 1000))
        one.postgres.kill()
        one.publish(range(1000, 1500))
        # Nothing is written while only the standby is there.
        for writer in writers:
            writer.wait_for("postgres unavailable")
        standby.server.promote()
        one.postgres = standby
        one.wait_until_written()
        one.assert_exact()


def test_rowp8__password_changes(feed_run: NewFeedRun, tmp_path: Path) -> None:
    """A writer that is refused waits, and goes on with the password of its credential then."""
    one = feed_run(asks_password=True)
    secret = tmp_path / "feed__password"
    secret.write_text(PASSWORD)
    variables = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    writer = one.writer(url=one.postgres.tcp_url, variables=variables)
    one.publish(range(500))
    one.wait_until_written()
    with one.postgres.client() as client:
        client.execute("ALTER ROLE galaxy PASSWORD 'another'")
        client.execute(_END_ALL)
    one.publish(range(500, 1000))
    (down,) = [writer.wait_for("postgres unavailable")]
    assert re.search("feed.url, feed.password", str(down))
    assert one.rows() == 500
    secret.write_text("another")
    one.wait_until_written()
    one.assert_exact()
    assert PASSWORD not in writer.log.read_text()
