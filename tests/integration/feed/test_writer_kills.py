"""A writer that dies at any point, or is frozen: every event is a row, exactly once."""

from __future__ import annotations

import signal

import pytest

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.events import parked, pending, unfinished, write_deployment
from tests.support.feeds import drift, feed_on, marks_differ, publish, rows, rows_of
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

NUMBERS = range(600)


@pytest.mark.parametrize(
    "place",
    ["before_insert", "after_insert", "before_mark", "after_mark", "before_ack", "after_ack"],
)
def test_writer__killed(server: Server, database: Postgres, place: str) -> None:
    """What the dead one left is written by the next one, and counted once."""
    with server.client() as client:
        write_deployment(client)
        publish(client, NUMBERS)
        with feed_on(server, database, failpoints=f"{place}:kill") as feed:
            assert feed.ended() == -signal.SIGKILL
        with feed_on(server, database) as feed:
            wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
            feed.end()
        assert marks_differ(client, database) == []
        assert parked(client) == []
    assert rows(database) == rows_of(NUMBERS)
    assert drift(database) == []


def test_writer__frozen(server: Server, database: Postgres) -> None:
    """Another writer takes over what a frozen one was given; that one does no harm afterwards."""
    with server.client() as client:
        write_deployment(client)
        with feed_on(server, database) as frozen:
            frozen.wait_for("feed writing")
            database.pause()
            publish(client, NUMBERS)
            wait_until(lambda: pending(client, FEED_GROUP) > 0, "some are with it")
            frozen.signal(signal.SIGSTOP)
            database.resume()
            with feed_on(server, database) as other:
                wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
                frozen.signal(signal.SIGCONT)
                publish(client, range(600, 700))
                wait_until(lambda: len(rows(database)) == 700, "all are rows")
                wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
                for one in (frozen, other):
                    one.end()
        assert parked(client) == []
    assert rows(database) == rows_of(range(700))
    assert drift(database) == []


def test_writers__together(server: Server, database: Postgres) -> None:
    """Two share a shard, and one dies again and again: all are rows, exactly once."""
    with server.client() as client:
        write_deployment(client)
        with feed_on(server, database), feed_on(server, database) as dying:
            for start in range(0, 3000, 500):
                publish(client, range(start, start + 500))
                dying.wait_for("feed started")
                dying.kill()
                dying.start()
            wait_until(lambda: len(rows(database)) == 3000, "all are rows")
            wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        assert marks_differ(client, database) == []
        assert parked(client) == []
    assert rows(database) == rows_of(range(3000))
    assert drift(database) == []
