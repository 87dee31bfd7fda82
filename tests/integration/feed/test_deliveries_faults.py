"""The delivery stream while a writer dies, Postgres is away, or several writers share it."""

from __future__ import annotations

import signal
from typing import Any

import pytest
import redis

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.deliveries import deliver, left, via, via_of, waiting
from tests.support.events import KEYS, parked, write_deployment
from tests.support.feeds import drift, feed_on, migrate, publish, rows, rows_of
from tests.support.postgres import Postgres, running_postgres
from tests.support.servers import Server
from tests.support.wait import wait_until

NUMBERS = range(300)


def _a_minute_later(client: redis.Redis) -> None:
    """Have what is pending be idle for as long as others leave it to who has it."""
    found: Any = client.xpending_range(KEYS.deliveries, FEED_GROUP, "-", "+", 1000)
    for one in found:
        group = (KEYS.deliveries, FEED_GROUP, one["consumer"])
        client.xclaim(*group, 0, [one["message_id"]], idle=61_000, justid=True)


@pytest.mark.parametrize("place", ["before_add", "after_add"])
def test_writer__killed(server: Server, database: Postgres, place: str) -> None:
    """Before the channels are added, or behind the COMMIT: the next one adds them, once."""
    with server.client() as client:
        write_deployment(client)
        publish(client, NUMBERS)
        with feed_on(server, database) as feed:
            wait_until(lambda: rows(database) == rows_of(NUMBERS), "all are rows")
            feed.end()
        deliver(client, NUMBERS)
        with feed_on(server, database, failpoints=f"{place}:kill") as feed:
            assert feed.ended() == -signal.SIGKILL
        committed = NUMBERS if place == "after_add" else []
        assert via(database) == via_of(committed, "email")
        assert waiting(client) == len(NUMBERS)
        _a_minute_later(client)
        with feed_on(server, database) as feed:
            wait_until(lambda: left(client) == 0, "all are acknowledged")
            feed.end()
        assert parked(client) == []
    assert via(database) == via_of(NUMBERS, "email")
    assert drift(database) == []


def test_postgres__away(server: Server) -> None:
    """Entries stay pending, nothing is spent, and it is logged once; then all are added."""
    with server.client() as client, running_postgres() as postgres:
        migrate(postgres)
        write_deployment(client)
        publish(client, NUMBERS)
        with feed_on(server, postgres, feed__statement_timeout_ms=100) as feed:
            wait_until(lambda: rows(postgres) == rows_of(NUMBERS), "all are rows")
            postgres.kill()
            deliver(client, NUMBERS)
            feed.wait_for("postgres unavailable")
            wait_until(lambda: waiting(client) > 0, "they are pending")
            postgres.start()
            wait_until(lambda: via(postgres) == via_of(NUMBERS, "email"), "all are added")
            wait_until(lambda: left(client) == 0, "all are acknowledged")
            feed.wait_for("postgres available again")
            assert feed.says_each_reason_once
            feed.end()
            assert feed.lines("deliveries given up") == []
        assert parked(client) == []


def test_items__that_come_later(server: Server, database: Postgres) -> None:
    """A delivery may be quicker than the event; the channel is added when the item is there."""
    with server.client() as client:
        write_deployment(client)
        deliver(client, NUMBERS)
        with feed_on(server, database), feed_on(server, database) as feed:
            wait_until(lambda: waiting(client) == len(NUMBERS), "all wait")
            publish(client, NUMBERS)
            wait_until(lambda: via(database) == via_of(NUMBERS, "email"), "all are added")
            wait_until(lambda: left(client) == 0, "all are acknowledged")
            feed.end()
    assert rows(database) == rows_of(NUMBERS)
    assert drift(database) == []


def test_stream__of_no_deployment(server: Server, database: Postgres) -> None:
    """Where no external channel was used, nothing of it is in Redis."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client)
        publish(client, NUMBERS)
        wait_until(lambda: rows(database) == rows_of(NUMBERS), "all are rows")
        feed.end()
        assert client.exists(KEYS.deliveries) == 0
