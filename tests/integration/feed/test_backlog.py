"""Postgres away for long: events move aside, live delivery goes on, and all come back in order."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
import redis

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.daemons import daemon_on
from tests.support.events import KEYS, parked, unfinished, write_deployment
from tests.support.feeds import (
    drift,
    feed_on,
    marks_differ,
    migrate,
    order_of_users,
    publish,
    rows,
    rows_of,
)
from tests.support.postgres import Postgres
from tests.support.program import program
from tests.support.servers import Server
from tests.support.wait import wait_until

CHANNELS = ["push", "in_app"]


def _behind(client: redis.Redis) -> int:
    """Return how many entries of the stream the group keeps from being trimmed."""
    found: Any = client.xpending_range(KEYS.stream, FEED_GROUP, "-", "+", 1)
    (group,) = (one for one in client.xinfo_groups(KEYS.stream) if one["name"] == b"feed")
    first = found[0]["message_id"] if found else b"(" + group["last-delivered-id"]
    left: Any = client.xrange(KEYS.stream, first, "+")
    return len(left)


def test_backlog__keeps_the_order_of_a_user(server: Server, database: Postgres) -> None:
    """Beyond half of the stream events move aside; what comes back is in order."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client, max_len=200)
        feed.wait_for("feed writing")
        database.stop()
        for start in range(0, 1000, 50):
            publish(client, range(start, start + 50), users=4)
        wait_until(lambda: client.xlen(KEYS.feed_backlog) >= 900, "they move aside")
        wait_until(lambda: _behind(client) <= 100, "the rest may be trimmed")
        feed.wait_for("feed behind")
        database.start()
        wait_until(lambda: client.xlen(KEYS.feed_backlog) == 0, "the backlog is empty")
        wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        feed.wait_for("feed caught up")
        feed.end()
        assert parked(client) == []
        assert marks_differ(client, database) == []
    assert rows(database) == rows_of(range(1000), users=4)
    assert order_of_users(database) == {f"u{n}": list(range(n, 1000, 4)) for n in range(4)}
    assert drift(database) == []


def test_backlog__parks_what_is_refused(server: Server, database: Postgres) -> None:
    """An entry that cannot be written leaves the backlog too."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client, max_len=20)
        feed.wait_for("feed writing")
        database.stop()
        publish(client, [1], changed={"payload_bytes": b"\xc1"})
        publish(client, range(2, 100))
        wait_until(lambda: client.xlen(KEYS.feed_backlog) >= 80, "they move aside")
        database.start()
        wait_until(lambda: client.xlen(KEYS.feed_backlog) == 0, "the backlog is empty")
        wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        feed.end()
        assert len(parked(client)) == 1
    assert rows(database) == rows_of(range(2, 100))


@pytest.mark.parametrize("kills", [False, True])
def test_backlog__survives_its_writers(server: Server, database: Postgres, kills: bool) -> None:
    """What one writer moved aside another one writes, also where that dies meanwhile."""
    with server.client() as client:
        write_deployment(client, max_len=100)
        with feed_on(server, database) as feed:
            feed.wait_for("feed writing")
            database.stop()
            publish(client, range(2000))
            wait_until(lambda: client.xlen(KEYS.feed_backlog) >= 1900, "they move aside")
            feed.kill()
        database.start()
        if kills:
            for place in ("after_insert", "before_ack", "after_ack"):
                with feed_on(server, database, failpoints=f"{place}:kill") as feed:
                    feed.ended()
        with feed_on(server, database) as feed:
            wait_until(lambda: client.xlen(KEYS.feed_backlog) == 0, "the backlog is empty")
            wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
            feed.end()
        assert parked(client) == []
    assert rows(database) == rows_of(range(2000))
    assert drift(database) == []


def _accept(server: Server, number: int) -> None:
    lines = [
        json.dumps({"type": "t", "producer": "p", "recipients": [f"u{n}"], "channels": CHANNELS})
        for n in range(number)
    ]
    done = program(server, "accept", stdin="\n".join(lines))
    assert done.returncode == 0, done.stderr


def test_backlog__holds_the_stream_only_when_it_is_full(server: Server, database: Postgres) -> None:
    """Publishing goes on until the backlog is full, is held then, and goes on again.

    All channels are of the feed: events of others are done at once, also while Postgres is away.
    """
    settings = {"worker__channels": CHANNELS, "gateway__max_len": 500}
    with (
        server.client() as client,
        daemon_on(server, **settings) as daemon,
        feed_on(server, database, feed__backlog_max=2000, feed__channels=CHANNELS) as feed,
    ):
        feed.wait_for("feed writing")
        database.stop()
        for step in range(1, 7):
            _accept(server, 150)
            wait_until(partial(_are_published, client, 300 * step), "all are published")
            wait_until(partial(_have_moved, client, 300 * step - 250), "they move aside")
            # By whole nodes, so not to the last entry.
            wait_until(lambda: client.xlen(KEYS.stream) <= 650, "the stream is trimmed")
        assert not daemon.lines("claiming suspended")
        _accept(server, 900)
        feed.wait_for("feed backlog full")
        daemon.wait_for("claiming suspended")
        wait_until(lambda: client.xlen(KEYS.feed_backlog) == 2000, "it is full")
        assert not _are_published(client, 3600)
        database.start()
        wait_until(lambda: len(rows(database)) == 1800, "all are rows")
        daemon.wait_for("claiming resumed")
        feed.wait_for("feed backlog has room again")
        feed.end()
    assert drift(database) == []


def _are_published(client: redis.Redis, number: int) -> bool:
    return client.hget(KEYS.totals, "published") == str(number).encode()


def _have_moved(client: redis.Redis, number: int) -> bool:
    return int(client.xlen(KEYS.feed_backlog)) >= number


def test_backlog__filled_by_the_janitor(server: Server, database: Postgres) -> None:
    """Where no writer has reported for a minute, a daemon moves what the group keeps."""
    settings = {"worker__channels": CHANNELS, "gateway__max_len": 100}
    with server.client() as client, daemon_on(server, **settings) as daemon:
        daemon.wait_for("daemon working")
        with feed_on(server, database) as feed:
            writer = feed.writer
            wait_until(lambda: client.zcard(KEYS.feed_writers) == 1, "it has reported")
            feed.kill()
        _accept(server, 300)
        wait_until(lambda: client.xlen(KEYS.stream) > 150, "they are published")
        assert client.xlen(KEYS.feed_backlog) == 0, "the writer died just now"
        client.zadd(KEYS.feed_writers, {writer: 1})
        daemon.wait_for("moving events for missing feed writer")
        wait_until(lambda: client.xlen(KEYS.feed_backlog) >= 550, "they move aside")
        wait_until(lambda: client.xlen(KEYS.stream) <= 110, "the stream is trimmed")
        with feed_on(server, database) as feed:
            wait_until(lambda: len(rows(database)) == 300, "all are rows")
            daemon.wait_for("feed writer is back")
            feed.end()
        assert parked(client) == []
    assert drift(database) == []


def test_backlog__before_the_first_writer(server: Server, postgres: Postgres) -> None:
    """A daemon that knows of the feed keeps its events until the first writer comes."""
    settings = {
        "worker__channels": CHANNELS,
        "gateway__max_len": 100,
        "feed__url": postgres.url,
    }
    with server.client() as client, daemon_on(server, **settings) as daemon:
        daemon.wait_for("daemon working")
        _accept(server, 300)
        wait_until(lambda: client.xlen(KEYS.feed_backlog) >= 550, "they move aside")
        migrate(postgres)
        with feed_on(server, postgres) as feed:
            wait_until(lambda: len(rows(postgres)) == 300, "all are rows")
            feed.end()


def test_backlog__of_no_other_group_of_that_name(server: Server) -> None:
    """A group of another program that is named feed keeps its entries."""
    settings = {"worker__channels": ["push"], "gateway__max_len": 100}
    with server.client() as client, daemon_on(server, **settings) as daemon:
        client.xgroup_create(KEYS.stream, FEED_GROUP, "0", mkstream=True)
        daemon.wait_for("daemon working")
        publish(client, range(250))
        daemon.wait_for("claiming suspended")
        assert client.exists(KEYS.feed_backlog) == 0
        assert unfinished(client, FEED_GROUP) == 250


@pytest.mark.parametrize("key", ["feed_backlog", "feed_writers"])
def test_backlog__of_another_type_stops_no_trimming(server: Server, key: str) -> None:
    """The janitor trims the stream for all other groups, whatever lies where the feed's keys do."""
    settings = {"worker__channels": ["push"], "gateway__max_len": 100}
    with server.client() as client:
        client.xadd(KEYS.feed_backlog, {"x": "x"})
        client.delete(getattr(KEYS, key))
        client.set(getattr(KEYS, key), "x")
        with daemon_on(server, **settings) as daemon:
            daemon.wait_for("daemon working")
            publish(client, range(250))
            wait_until(lambda: client.xlen(KEYS.stream) <= 110, "the stream is trimmed")
