"""The process `galaxy-notify feed`: every event of its channels is a row, once."""

from __future__ import annotations

import signal

import pytest

from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.shared_settings import KeySpace
from tests.support.events import KEYS, unfinished, write_deployment
from tests.support.feeds import drift, feed_on, migrate, publish, rows, rows_of
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import wait_until


@pytest.fixture(autouse=True)
def _migrated(postgres: Postgres) -> None:
    migrate(postgres)


@pytest.mark.parametrize("shards", [1, 2])
def test_writer__makes_a_row_of_each_event(server: Server, postgres: Postgres, shards: int) -> None:
    """Events of every shard are rows with exact counts; then the process ends as it should."""
    numbers = range(1200)
    with server.client() as client:
        key_space = KeySpace("gn", write_deployment(client, shards=shards))
        for keys in key_space.all_keys:
            publish(client, [n for n in numbers if n % shards == keys.shard], keys=keys)
        with feed_on(server, postgres) as feed:
            wait_until(lambda: len(rows(postgres)) == 1200, "all are rows")
            wait_until(
                lambda: all(
                    unfinished(client, FEED_GROUP, keys) == 0 for keys in key_space.all_keys
                ),
                "all are acknowledged",
            )
            assert client.zrange(KEYS.feed_writers, 0, -1) == [feed.writer.encode()]
            feed.signal(signal.SIGTERM)
            assert feed.ended() == 0
        assert client.zcard(KEYS.feed_writers) == 0
    assert rows(postgres) == rows_of(numbers)
    assert drift(postgres) == []
