"""finish: what is handled is marked and acknowledged in one step."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state.group import MarkLimits, event_ack
from tests.support.events import KEYS, event_id, pending, publish
from tests.support.servers import Server

LIMITS = MarkLimits(ttl_ms=60_000, most=3)
NOW = 1_900_000_000_000
SEEN = KEYS.seen("gateway")


@pytest.fixture
def client(any_server: Server) -> Any:
    with any_server.client() as client:
        client.xgroup_create(KEYS.stream, "gateway", "0", mkstream=True)
        yield client


def _delivered(client: redis.Redis, *numbers: int) -> dict[str, str]:
    ids = publish(client, *numbers)
    client.xreadgroup("gateway", "gw-1", {KEYS.stream: ">"})
    return dict(zip(ids, map(event_id, numbers), strict=True))


def _finish(client: redis.Redis, done: dict[str, str], now: int = NOW) -> int:
    return int(run_sync(client, event_ack(KEYS, "gateway", done, LIMITS, now)))


def _marks(client: redis.Redis) -> dict[str, float]:
    rows: Any = client.zrange(SEEN, 0, -1, withscores=True)
    return {member.decode(): score for member, score in rows}


def test_finish__marks_and_acknowledges(client: redis.Redis) -> None:
    """A handled event is marked, and its entry is pending no more."""
    done = _delivered(client, 1, 2)
    assert _finish(client, done) == 2
    assert pending(client) == 0
    assert _marks(client) == {event_id(1): NOW, event_id(2): NOW}
    assert 0 < client.pttl(SEEN) <= LIMITS.ttl_ms


def test_finish__twice(client: redis.Redis) -> None:
    """A finish whose answer was lost is sent again and changes nothing."""
    done = _delivered(client, 1)
    assert _finish(client, done) == 1
    before = _marks(client)
    assert _finish(client, done) == 0
    assert _marks(client) == before


def test_finish__marks_are_bounded_by_count(client: redis.Redis) -> None:
    """The oldest marks go when there are more than the group keeps."""
    for number in range(5):
        _finish(client, _delivered(client, number), NOW + number)
    assert list(_marks(client)) == [event_id(2), event_id(3), event_id(4)]


def test_finish__marks_are_bounded_by_time(client: redis.Redis) -> None:
    """A mark goes when it is older than the group keeps marks."""
    _finish(client, _delivered(client, 1), NOW)
    _finish(client, _delivered(client, 2), NOW + LIMITS.ttl_ms + 1)
    assert list(_marks(client)) == [event_id(2)]


def test_finish__at_maxmemory(client: redis.Redis) -> None:
    """A server that takes nothing more still lets events end, so that they can be trimmed."""
    done = _delivered(client, 1)
    run_sync(client, event_ack(KEYS, "other", {"1-1": "x"}, LIMITS))
    client.config_set("maxmemory", "1")
    try:
        assert _finish(client, done) == 1
    finally:
        client.config_set("maxmemory", "0")
    assert list(_marks(client)) == [event_id(1)]


def test_finish__without_the_group(client: redis.Redis) -> None:
    """A group that was dropped meanwhile makes no error: the event is marked as handled."""
    done = _delivered(client, 1)
    client.xgroup_destroy(KEYS.stream, "gateway")
    assert _finish(client, done) == 0
    assert list(_marks(client)) == [event_id(1)]


def test_finish__marks_of_the_wrong_type(client: redis.Redis) -> None:
    """Where the marks cannot be written, nothing is acknowledged."""
    done = _delivered(client, 1)
    client.set(SEEN, "x")
    with pytest.raises(RedisFault):
        _finish(client, done)
    assert pending(client) == 1
