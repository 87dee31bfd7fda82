"""feed_attend, feed_move, feed_ack: what the feed's group has left goes out of trimming's way."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.feed_backlog import backlog_keys
from galaxy_notify.redis_state.feed_calls import (
    FEED_GROUP,
    WRITER_GONE_MS,
    Attended,
    Moved,
    MoveLimits,
    feed_ack,
    feed_attend,
    feed_move,
    read_attended,
    read_moved,
)
from galaxy_notify.redis_state.group import Parking, event_park
from tests.support.events import KEYS, event_fields, pending, publish
from tests.support.servers import Server

NOW = 1_900_000_000_000


@pytest.fixture
def client(any_server: Server) -> Any:
    with any_server.client() as client:
        client.xgroup_create(KEYS.stream, FEED_GROUP, "0", mkstream=True)
        yield client


def _attend(client: redis.Redis, writer: str = "w-1", counted: str = "") -> Attended:
    return read_attended(run_sync(client, feed_attend(KEYS, writer, counted, NOW)))


def _move(client: redis.Redis, most: int = 128, now: int = NOW, **limits: Any) -> Moved:
    given = MoveLimits(**({"backlog_max": 1000, "most": most} | limits))
    return read_moved(run_sync(client, feed_move(KEYS, "w-1", given, now)))


def _read(client: redis.Redis, count: int) -> None:
    client.xreadgroup(FEED_GROUP, "w-2", {KEYS.stream: ">"}, count=count)


def _entries(client: redis.Redis) -> list[tuple[bytes, dict[bytes, bytes]]]:
    rows: Any = client.xrange(KEYS.feed_backlog)
    return list(rows)


def _backlog(client: redis.Redis) -> list[str]:
    """Return the stream ids that the entries of the backlog had."""
    return [fields[b"stream_id"].decode() for _, fields in _entries(client)]


def test_move__copies_an_entry_as_it_is(client: redis.Redis) -> None:
    """A moved entry has all its fields, byte for byte, and the id that it had."""
    (stream_id,) = publish(client, 1)
    assert _move(client) == ("moved", 1, 1)
    ((_, fields),) = _entries(client)
    given = {
        k.encode(): v if isinstance(v, bytes) else v.encode() for k, v in event_fields(1).items()
    }
    assert fields == {**given, b"stream_id": stream_id.encode()}
    assert pending(client, FEED_GROUP) == 0


def test_move__takes_the_pending_ones_first(client: redis.Redis) -> None:
    """What some member was given is older than what no member was given."""
    ids = publish(client, *range(6))
    _read(client, 2)
    assert _move(client, most=3).entries == 2
    assert _move(client, most=3).entries == 3
    assert _backlog(client) == ids[:5]
    assert pending(client, FEED_GROUP) == 0
    _read(client, 10)
    assert pending(client, FEED_GROUP) == 1


def test_move__again_moves_nothing_twice(client: redis.Redis) -> None:
    """Every entry is moved once, however often the script runs."""
    ids = publish(client, *range(40))
    for _ in range(10):
        _move(client, most=7)
    assert _backlog(client) == ids
    assert _move(client) == ("moved", 0, 40)


def test_move__keeps_the_group_where_it_is_once_it_is_full(client: redis.Redis) -> None:
    """Up to its most entries the backlog grows, and no further."""
    ids = publish(client, *range(5))
    assert _move(client, backlog_max=3) == ("moved", 3, 3)
    assert _move(client, backlog_max=3) == ("full", 0, 3)
    _read(client, 10)
    assert pending(client, FEED_GROUP) == 2
    assert _backlog(client) == ids[:3]


def test_move__acknowledges_what_was_trimmed(client: redis.Redis) -> None:
    """An entry that is no longer there is not kept pending."""
    publish(client, 1, 2)
    _read(client, 2)
    client.xtrim(KEYS.stream, maxlen=1, approximate=False)
    moved = _move(client)
    assert moved.entries >= 1
    assert len(_backlog(client)) == 1
    assert pending(client, FEED_GROUP) == 0


def test_move__leaves_a_living_writer_its_entries(client: redis.Redis) -> None:
    """The janitor moves only where no writer has reported for a minute."""
    publish(client, 1)
    client.xgroup_create(KEYS.feed_backlog, FEED_GROUP, "0", mkstream=True)
    _attend(client)
    assert _move(client, now=NOW + WRITER_GONE_MS - 1, alone_ms=WRITER_GONE_MS).word == "stale"
    assert _backlog(client) == []
    assert _move(client, now=NOW + WRITER_GONE_MS, alone_ms=WRITER_GONE_MS).word == "moved"


def test_move__is_not_held_up_by_a_clock_that_was_set_back(client: redis.Redis) -> None:
    """A writer that died before that has reported in the future; it is not alive until then."""
    publish(client, 1)
    client.xgroup_create(KEYS.feed_backlog, FEED_GROUP, "0", mkstream=True)
    client.zadd(KEYS.feed_writers, {"dead": NOW + 10 * WRITER_GONE_MS})
    assert _attend(client, "").writer_ms is None
    assert _move(client, alone_ms=WRITER_GONE_MS).word == "moved"
    assert _attend(client, "w-1").has_living_writer


def test_move__leaves_a_group_that_was_never_a_writers(client: redis.Redis) -> None:
    """A group of this name may belong to another program: then there is no backlog."""
    publish(client, 1)
    assert _move(client, alone_ms=WRITER_GONE_MS).word == "stale"
    client.xgroup_create(KEYS.feed_backlog, FEED_GROUP, "0", mkstream=True)
    assert _move(client, alone_ms=WRITER_GONE_MS).word == "moved"


def test_move__without_a_group(client: redis.Redis) -> None:
    """Where nobody reads for the feed, nothing is moved."""
    publish(client, 1)
    client.xgroup_destroy(KEYS.stream, FEED_GROUP)
    assert _move(client) == ("stale", 0, 0)
    client.delete(KEYS.stream)
    assert _move(client) == ("stale", 0, 0)


@pytest.mark.parametrize("reads", [0, 3])
def test_move__that_is_refused_changes_nothing(client: redis.Redis, reads: int) -> None:
    """A backlog of another type leaves every entry where it was."""
    publish(client, 1, 2, 3)
    if reads:
        _read(client, reads)
    client.set(KEYS.feed_backlog, "x")
    with pytest.raises(RedisFault):
        _move(client)
    assert pending(client, FEED_GROUP) == reads


def test_attend__reports_the_writer(client: redis.Redis) -> None:
    """A writer is known from its first report on, one that reports no more is forgotten."""
    client.zadd(KEYS.feed_writers, {"old": 1})
    assert _attend(client, "").writer_ms == 1
    assert _attend(client, "").has_living_writer is False
    assert _attend(client, "w-1").has_living_writer
    assert client.zrange(KEYS.feed_writers, 0, -1) == [b"w-1"]


def test_attend__counts_from_the_oldest_pending_entry(client: redis.Redis) -> None:
    """What the group keeps from being trimmed is counted once, page by page."""
    ids = publish(client, *range(1200))
    first = _attend(client)
    assert (first.position, first.goes_on, first.counted, first.more) == ("0-0", False, 500, True)
    second = _attend(client, counted=first.last)
    third = _attend(client, counted=second.last)
    assert (third.goes_on, third.counted, third.last, third.more) == (True, 200, ids[-1], False)
    _read(client, 700)
    client.xack(KEYS.stream, FEED_GROUP, *ids[:600])
    fourth = _attend(client, counted=first.last)
    assert (fourth.position, fourth.goes_on, fourth.counted) == (ids[600], False, 500)
    client.xack(KEYS.stream, FEED_GROUP, *ids[600:700])
    fifth = _attend(client, counted=second.last)
    assert (fifth.position, fifth.goes_on, fifth.counted) == (ids[699], True, 200)


def test_attend__without_a_group(client: redis.Redis) -> None:
    """Without a group there is no position and nothing to count."""
    publish(client, 1)
    client.xgroup_destroy(KEYS.stream, FEED_GROUP)
    assert _attend(client)[3:] == (None, False, 0, "", False)


def test_ack__deletes_what_is_written(client: redis.Redis) -> None:
    """An entry that is a row leaves the backlog, and a repeat changes nothing."""
    publish(client, 1, 2)
    _move(client)
    backlog = backlog_keys(KEYS)
    client.xgroup_create(KEYS.feed_backlog, FEED_GROUP, "0")
    client.xreadgroup(FEED_GROUP, "w-1", {KEYS.feed_backlog: ">"})
    ids = [stream_id.decode() for stream_id, _ in _entries(client)]
    assert run_sync(client, feed_ack(KEYS, ids[:1])) == 1
    assert run_sync(client, feed_ack(KEYS, ids[:1])) == 0
    assert client.xlen(KEYS.feed_backlog) == 1
    assert pending(client, FEED_GROUP, backlog) == 1


def test_park__deletes_an_entry_of_the_backlog(client: redis.Redis) -> None:
    """What cannot be written is parked, and no longer in the backlog."""
    publish(client, 1)
    _move(client)
    client.xgroup_create(KEYS.feed_backlog, FEED_GROUP, "0")
    client.xreadgroup(FEED_GROUP, "w-1", {KEYS.feed_backlog: ">"})
    ((stream_id, _),) = _entries(client)
    item = Parking(stream_id.decode(), 1, "no row")
    call = event_park(backlog_keys(KEYS), FEED_GROUP, "w-1", item, 10, deletes=True)
    assert run_sync(client, call) == b"parked"
    assert client.xlen(KEYS.feed_backlog) == 0
    assert client.xlen(KEYS.parked) == 1
