"""The gateway stream as operators see it: newest entries, groups, what they lost, dropping them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from galaxy_notify.redis_state.connection import async_client, sync_client
from galaxy_notify.redis_state.faults import RedisFault
from galaxy_notify.redis_state.group import GroupMember
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.stream import (
    GroupReport,
    drop_group,
    follow,
    group_report,
    group_report_async,
    newest,
    parked_length,
)
from tests.support.events import KEYS, Seen, consuming, event_fields, found, publish
from tests.support.servers import Server
from tests.support.wait import until


@pytest.fixture
def client(any_server: Server) -> Any:
    with sync_client(any_server.url) as client:
        yield client


def join(server: Server, group: str = "gateway") -> bool:
    """Make the group as a consumer does."""

    async def joined() -> bool:
        client = async_client(server.url)
        try:
            return await GroupMember(client, KEYS, group, "gw-1").join()
        finally:
            await client.aclose()

    return asyncio.run(joined())


def read(client: redis.Redis, count: int) -> None:
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"}, count=count)


def trim(client: redis.Redis, keep: int) -> None:
    client.xtrim(KEYS.stream, maxlen=keep, approximate=False)


def counts_reads(client: redis.Redis) -> bool:
    """Tell whether the server is Redis 7.0 or later, which counts what groups read."""
    info: Any = client.xinfo_stream(KEYS.stream)
    return "entries-added" in info


def standing(client: redis.Redis, undone: int = 0) -> tuple[int | None, int | None]:
    """Return lag and loss."""
    report = group_report(client, KEYS, undone)["gateway"]
    return report["lag"], report["lost"]


def expected(client: redis.Redis, lag: int, lost: int) -> tuple[int | None, int | None]:
    """Return lag and loss as this server can tell them: below 7.0 they are unknown."""
    return (lag, lost) if counts_reads(client) else (None, None)


def test_group_report__without_a_stream(client: redis.Redis) -> None:
    """Where nothing was published and nobody reads there is nothing to report."""
    assert group_report(client, KEYS, 0) == {}


def test_group_report__wrong_type(client: redis.Redis) -> None:
    """A key of another type under the stream's name is a fault, not an empty report."""
    client.set(KEYS.stream, "x")
    with pytest.raises(RedisFault):
        group_report(client, KEYS, 0)


def test_group_report__lag_and_pending(client: redis.Redis, any_server: Server) -> None:
    """Lag is what was not delivered, pending what was not acknowledged, with the oldest's age."""
    assert join(any_server)
    assert not join(any_server)
    assert standing(client) == expected(client, 0, 0)
    publish(client, *range(250))
    assert standing(client) == expected(client, 250, 0)
    read(client, 10)
    assert standing(client) == expected(client, 240, 0)
    read(client, 200)
    report = group_report(client, KEYS, 0)["gateway"]
    assert report["pending"] == 210
    assert 0 <= (report["oldest_pending_s"] or 0) < 60
    assert standing(client) == expected(client, 40, 0)
    read(client, 100)
    assert standing(client) == expected(client, 0, 0)


def test_group_report__loss(client: redis.Redis, any_server: Server) -> None:
    """What was trimmed before the group read it stays counted as lost, and is no lag."""
    publish(client, *range(20))
    trim(client, 10)
    join(any_server)
    assert standing(client) == expected(client, 10, 0)
    publish(client, *range(90))
    trim(client, 50)
    assert standing(client) == expected(client, 50, 50)
    read(client, 10)
    assert standing(client) == expected(client, 40, 50)
    read(client, 100)
    assert standing(client) == expected(client, 0, 50)
    publish(client, 1, 2)
    assert standing(client) == expected(client, 2, 50)


def test_group_report__undone_is_no_loss(client: redis.Redis, any_server: Server) -> None:
    """An entry that a settle took back was never an event: it is no loss."""
    join(any_server)
    publish(client, 1)
    (undone,) = publish(client, 2)
    client.xdel(KEYS.stream, undone)
    publish(client, 3)
    read(client, 10)
    assert standing(client, undone=1) == expected(client, 0, 0)


def test_group_report__async_reads_undone(client: redis.Redis, any_server: Server) -> None:
    """The asynchronous report says the same, and takes what was undone from the totals."""
    join(any_server)
    publish(client, 1, 2)
    read(client, 1)
    client.hset(KEYS.totals, "undone", "1")

    async def report() -> dict[str, GroupReport]:
        asynchronous = async_client(any_server.url)
        try:
            return await group_report_async(asynchronous, KEYS)
        finally:
            await asynchronous.aclose()

    found_async, found_sync = asyncio.run(report()), group_report(client, KEYS, 1)
    for reports in (found_async, found_sync):
        reports["gateway"]["oldest_pending_s"] = None
    assert found_async == found_sync


def test_consumer_report__of_its_group(client: redis.Redis, any_server: Server) -> None:
    """A consumer reports how its group stands on each shard."""
    seen = Seen()

    async def scenario() -> None:
        async with consuming(any_server, seen) as gateway:
            publish(client, 1)
            await until(lambda: seen.has(1), "the event is handled")
            await until(lambda: group_report(client, KEYS, 0)["gateway"]["pending"] == 0, "ended")
            lag, lost = expected(client, 0, 0)
            assert await gateway.report() == {
                0: {"lag": lag, "pending": 0, "oldest_pending_s": None, "lost": lost}
            }

    found(client)
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
    assert drop_group(client, shards, "gateway") == 1
    assert client.exists(KEYS.seen("gateway")) == 0
    assert group_report(client, KEYS, 0) == {}
    assert drop_group(client, shards, "gateway") == 0
    assert parked_length(client, KEYS) == 0
