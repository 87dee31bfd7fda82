"""The process `galaxy-notify feed`: every event of its channels is a row, once."""

from __future__ import annotations

import signal

import pytest

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.shared_settings import KeySpace
from tests.support.daemons import daemon_on
from tests.support.events import (
    KEYS,
    notification_id,
    parked,
    pending,
    unfinished,
    write_deployment,
)
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
from tests.support.program import accept, program
from tests.support.servers import Server
from tests.support.wait import wait_until


@pytest.mark.parametrize("shards", [1, 2])
def test_writer__makes_a_row_of_each_event(server: Server, database: Postgres, shards: int) -> None:
    """Events of every shard are rows with exact counts; then the process ends as it should."""
    numbers = range(1200)
    with server.client() as client:
        key_space = KeySpace("gn", write_deployment(client, shards=shards))
        for keys in key_space.all_keys:
            publish(client, [n for n in numbers if n % shards == keys.shard], keys=keys)
        with feed_on(server, database) as feed:
            shards_keys = key_space.all_keys
            wait_until(
                lambda: all(unfinished(client, FEED_GROUP, keys) == 0 for keys in shards_keys),
                "all are acknowledged",
            )
            reported = [feed.writer.encode()]
            wait_until(lambda: client.zrange(KEYS.feed_writers, 0, -1) == reported, "it reports")
            feed.end()
        assert client.zcard(KEYS.feed_writers) == 0
        assert marks_differ(client, database, shards) == []
    assert rows(database) == rows_of(numbers)
    assert drift(database) == []


def test_writer__keeps_the_order_of_a_user(server: Server, database: Postgres) -> None:
    """A list shows events in the order in which they were published."""
    with server.client() as client, feed_on(server, database):
        write_deployment(client)
        publish(client, range(700), users=3)
        wait_until(lambda: len(rows(database)) == 700, "all are rows")
    assert order_of_users(database) == {f"u{n}": list(range(n, 700, 3)) for n in range(3)}


def test_writer__makes_one_row_of_a_notification(server: Server, database: Postgres) -> None:
    """Channels, parts and generations of a notification are one row; other channels are none."""
    name = notification_id(7)
    with server.client() as client, feed_on(server, database, feed__channels=["in_app", "push"]):
        write_deployment(client)
        for event_id in (
            *(f"{name}/in_app:u7", f"{name}/push:u7", f"{name}.1/in_app:u7"),
            *(f"{name}/in_app:u7#2", f"{notification_id(8)}/email:u7"),
        ):
            publish(client, [7], changed={"event_id": event_id})
        publish(client, [9])
        wait_until(lambda: ("u9", notification_id(9)) in rows(database), "the last is a row")
    assert rows(database) == rows_of([7, 9])
    assert drift(database) == []


def test_writer__waits_for_a_deployment(server: Server, database: Postgres) -> None:
    """It may be there before the first daemon."""
    with server.client() as client, feed_on(server, database) as feed:
        feed.wait_for("redis unavailable")
        write_deployment(client)
        publish(client, [1])
        wait_until(lambda: rows(database) == rows_of([1]), "it is a row")
        feed.end()


def test_writer__ends_at_once_on_a_second_signal(server: Server, database: Postgres) -> None:
    """The first signal asks, the second one does not."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client)
        feed.wait_for("feed writing")
        database.pause()
        publish(client, [1])
        wait_until(lambda: pending(client, FEED_GROUP) == 1, "it is read")
        feed.signal(signal.SIGTERM)
        feed.wait_for("feed stop requested")
        feed.signal(signal.SIGTERM)
        code = feed.ended()
        database.resume()
    assert code == 1


def test_writer__reloads_the_log(server: Server, database: Postgres) -> None:
    """SIGHUP takes the log's settings, and says what needs a restart."""
    with server.client() as client, feed_on(server, database) as feed:
        write_deployment(client)
        feed.wait_for("feed writing")
        feed.write_config(feed__batch_ms=20, log__level="debug")
        feed.signal(signal.SIGHUP)
        line = feed.wait_for("settings reloaded")
        assert line["restart_needed_for"] == ["feed.batch_ms"]
        feed.end()


@pytest.mark.parametrize("lacks", ["url", "schema"])
def test_writer__refuses_to_start(server: Server, postgres: Postgres, lacks: str) -> None:
    """Without an URL, or without the schema, it says what to do and ends with 78."""
    url = "" if lacks == "url" else postgres.url
    with server.client() as client:
        write_deployment(client)
    done = program(server, "feed", GALAXY_NOTIFY_FEED__URL=url)
    assert done.returncode == 78
    assert ("feed.url" if lacks == "url" else "feed migrate") in done.stderr


def test_writer__inside_the_daemon(server: Server, database: Postgres) -> None:
    """`run` with feed.enabled publishes and writes, and ends as it should."""
    channels = ["push", "in_app"]
    settings = {"feed__enabled": True, "feed__url": database.url, "worker__channels": channels}
    with server.client() as client, daemon_on(server, **settings) as daemon:
        daemon.wait_for("feed writing")
        made = accept(server, "u1", "u2", channels=channels)["notification_id"]
        wait_until(lambda: rows(database) == [("u1", made), ("u2", made)], "they are rows")
        wait_until(lambda: unfinished(client, FEED_GROUP) == 0, "all are acknowledged")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
    assert parked(client) == []


def test_daemon__publishes_without_its_postgres(server: Server, postgres: Postgres) -> None:
    """A feed without its schema does not stop publishing."""
    channels = ["push", "in_app"]
    settings = {"feed__enabled": True, "feed__url": postgres.url, "worker__channels": channels}
    with server.client() as client, daemon_on(server, **settings) as daemon:
        daemon.wait_for("feed writing")
        made = accept(server, "u1", channels=channels)["notification_id"]
        wait_until(lambda: client.xlen(KEYS.stream) == 2, "it is published")
        assert daemon.wait_for("postgres unavailable")["code"] == "configuration"
        migrate(postgres)
        wait_until(lambda: rows(postgres) == [("u1", made)], "it is a row")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0
