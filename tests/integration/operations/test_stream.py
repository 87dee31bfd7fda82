"""The gateway stream as operators see it: newest entries, groups, what they lost, dropping them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.connection import sync_client
from galaxy_notify.redis_inspect.stream import (
    drop_group,
    follow,
    newest,
    parked_length,
)
from galaxy_notify.redis_state.group_report import group_report
from galaxy_notify.redis_state.keys import Keys
from tests.support.events import (
    KEYS,
    Seen,
    consuming,
    event_fields,
    join,
    publish,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


@pytest.fixture
def client(any_server: Server) -> Any:
    with sync_client(any_server.url) as client:
        yield client


def test_consumer_report__of_its_group(client: redis.Redis, any_server: Server) -> None:
    """A consumer reports how its group stands on each shard."""
    seen = Seen()

    async def scenario() -> None:
        async with consuming(any_server, seen) as gateway:
            publish(client, 1)
            await until(lambda: seen.has(1), "the event is handled")
            await until(lambda: group_report(client, KEYS)["gateway"]["pending"] == 0, "ended")
            assert await gateway.report() == {
                0: {"lag": 0, "pending": 0, "oldest_pending_s": None, "lost": 0}
            }

    write_deployment(client)
    asyncio.run(scenario())


def test_newest__over_all_shards(client: redis.Redis) -> None:
    """The newest entries of all shards come in the order of their ids."""
    shards = [Keys("gn", 0), Keys("gn", 1)]
    for number in range(10):
        stream = shards[number % 2].stream
        client.xadd(stream, event_fields(number), id=f"{1000 + number // 2}-{number % 2}")
    entries = newest(client, shards, 4)
    assert [e.fields[b"event_id"][31:32] for e in entries] == [b"6", b"7", b"8", b"9"]
    assert [e.shard for e in entries] == [0, 1, 0, 1]
    assert newest(client, shards, 0) == []


def test_follow__goes_on(client: redis.Redis) -> None:
    """Following gives the newest entries and then each one that arrives."""
    shards = [Keys("gn", 0), Keys("gn", 1)]
    publish(client, 1, 2)
    entries = follow(client, shards, 1)
    first = next(entries)
    assert first is not None
    assert first.fields[b"event_id"][31:32] == b"2"
    publish(client, 3, keys=shards[1])
    publish(client, 4)
    later = {entry.fields[b"event_id"][31:32] for entry in (next(entries), next(entries)) if entry}
    assert later == {b"3", b"4"}
    assert next(entries) is None


def test_drop_group__with_its_marks(client: redis.Redis, any_server: Server) -> None:
    """A dropped group is gone on every shard, and so are its marks."""
    shards = [Keys("gn", 0), Keys("gn", 1)]
    join(any_server)
    client.zadd(KEYS.seen("gateway"), {"x": 1})
    client.hset(KEYS.lost, "gateway", "7")
    assert drop_group(client, shards, "gateway") == 1
    assert client.exists(KEYS.seen("gateway"), KEYS.lost) == 0
    assert group_report(client, KEYS) == {}
    assert drop_group(client, shards, "gateway") == 0
    assert parked_length(client, KEYS) == 0
