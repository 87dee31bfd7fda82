"""Row P5: unread marks that come late, are lost, or are of another time."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings.feed import FeedSettings
from tests.faults.conftest import NewFeedRun
from tests.faults.support.delivery_run import freeze, is_frozen, thaw
from tests.faults.support.feed_run import FeedRun
from tests.faults.support.redis_replica import has_all, replica_of
from tests.support.events import write_deployment
from tests.support.postgres import Postgres
from tests.support.proxy import proxied
from tests.support.wait import HANG_S, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.extended]


def test_rowp5__marks_of_an_older_version_come_last(feed_run: NewFeedRun) -> None:
    """A writer freezes between COMMIT and its marks, others write more, then it goes on."""
    one = feed_run(shards=1)
    # All are there before it comes, so that they are one batch.
    one.publish(range(20))
    late = one.writer("before_mark:stop,after_mark:stop")
    wait_until(lambda: is_frozen(late), "it froze behind its COMMIT")
    assert one.rows() == 20
    one.writer()
    one.publish(range(20, 60))
    one.wait_until_written()
    one.assert_exact()
    thaw(late)
    wait_until(lambda: is_frozen(late), "it has published its counts, too")
    one.assert_exact()


def test_rowp5__writer_dies_before_its_marks(feed_run: NewFeedRun) -> None:
    """Whoever takes the batch over publishes the counts, though none of its rows is new."""
    one = feed_run(shards=1)
    one.publish(range(100))
    dying = one.writer("before_mark:kill")
    dying.ended()
    assert one.rows() == 100
    assert one.marks_behind()
    one.writer()
    one.wait_until_written()
    one.assert_exact()


def test_rowp5__redis_forgets_everything(feed_run: NewFeedRun) -> None:
    """After FLUSHALL the sweep finds that its place is lost, and publishes the counts of all."""
    one = feed_run()
    writer = one.writer()
    one.publish(range(400))
    one.wait_until_written()
    one.assert_exact()
    # Until it was seen that they are gone, nobody may publish them.
    freeze(writer)
    with one.server.client() as client:
        client.flushall()
        write_deployment(client, shards=2)
    assert one.marks_behind()
    thaw(writer)
    one.assert_counted()


def test_rowp5__failover_of_redis_loses_marks(feed_run: NewFeedRun) -> None:
    """A replica without the newest marks takes over: the sweep publishes them once more."""
    one = feed_run()
    with proxied(one.server.socket) as proxy, replica_of(one.server) as replica:
        writer = one.writer(variables={"GALAXY_NOTIFY_REDIS__URL": proxy.url})
        one.publish(range(200))
        one.wait_until_written()
        one.assert_exact()
        wait_until(lambda: has_all(one.server, replica), "the replica has all")
        with replica.client() as client:
            client.replicaof("NO", "ONE")
        one.publish(range(200, 400))
        one.wait_until_written()
        one.assert_exact()
        freeze(writer)
        proxy.upstream = replica.socket
        proxy.reset_all()
        one.server = replica
        assert one.marks_behind()
        thaw(writer)
        one.assert_counted()
        one.publish(range(400, 500))
        one.wait_until_written()
        one.assert_exact()


def test_rowp5__restored_database_wins(feed_run: NewFeedRun) -> None:
    """Its counts have older versions than the marks; `feed restored` begins another epoch."""
    one = feed_run()
    writer = one.writer()
    one.publish(range(200))
    one.wait_until_written()
    dump = one.postgres.server.folder / "dump"
    _pg("pg_dump", one.postgres, "--format=custom", f"--file={dump}")
    one.publish(range(200, 400))
    one.wait_until_written()
    one.assert_exact()
    newer = one.counts()
    writer.kill()
    _pg("pg_restore", one.postgres, "--clean", str(dump))
    assert all(counts.version < newer[user].version for user, counts in one.counts().items())
    asyncio.run(_restored(one))
    one.sent = {*range(200)}
    one.writer()
    one.assert_exact()
    one.publish(range(400, 500))
    one.wait_until_written()
    one.assert_exact()


def _pg(program: str, postgres: Postgres, *options: str) -> None:
    """Run a program of Postgres on the database."""
    command = postgres.server.command(program, f"--dbname={postgres.url}", *options)
    subprocess.run(command, check=True, timeout=HANG_S)


async def _restored(one: FeedRun) -> None:
    store = FeedStore.from_settings(FeedSettings(url=one.postgres.url))
    try:
        await store.restored()
    finally:
        await store.close()
