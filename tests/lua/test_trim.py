"""trim: the stream is shortened, never past what a group has not read."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_state import calls
from tests.lua.support.shard import Shard, at

_IDLE_MS = 60_000


@pytest.fixture
def stream(shard: Shard) -> Any:
    """Give a client whose shard's stream has 300 entries, their ids counting from 1-0."""
    shard.client.config_set("stream-node-max-entries", "10")
    for number in range(1, 301):
        shard.client.xadd(shard.keys.stream, {"n": number}, id=f"{number}-0")
    yield shard.client
    shard.client.config_set("stream-node-max-entries", "100")


def _trim(shard: Shard, keep: int, now: int = 1_000) -> list[Any]:
    call = at(calls.trim(shard.keys, keep, _IDLE_MS), now)
    reply: list[Any] = shard.client.eval(call.script.source, 2, *call.keys, *call.args)
    return reply


def _ids(shard: Shard) -> list[int]:
    rows: Any = shard.client.xrange(shard.keys.stream)
    return [int(made.split(b"-")[0]) for made, _ in rows]


def _group(shard: Shard, name: str, read: int, acknowledged: int) -> None:
    client: Any = shard.client
    stream = shard.keys.stream
    client.xgroup_create(stream, name, "0")
    if read:
        client.xreadgroup(name, "gw-1", {stream: ">"}, count=read)
    for number in range(1, acknowledged + 1):
        client.xack(stream, name, f"{number}-0")


def test_trim__leaves_a_short_stream(stream: Any, shard: Shard) -> None:
    """Up to its length, nothing goes."""
    assert _trim(shard, 300) == [0, 300]
    assert len(_ids(shard)) == 300


def test_trim__of_a_missing_stream(shard: Shard) -> None:
    """Where nothing was published yet, there is nothing to do."""
    assert _trim(shard, 10) == [0, 0]


@pytest.mark.parametrize("keep", [1, 7, 100, 299])
def test_trim__without_a_group_keeps_the_newest(keep: int, stream: Any, shard: Shard) -> None:
    """Without readers, the stream has its length, to a tenth."""
    gone, length = _trim(shard, keep)
    assert gone + length == 300
    assert keep <= length <= max(keep * 1.1, keep + 1)
    assert _ids(shard) == list(range(301 - length, 301))


@pytest.mark.parametrize("read", [0, 1, 150, 300])
@pytest.mark.parametrize("acknowledged", [0, 1, 100])
def test_trim__keeps_what_a_group_has_not_acknowledged(
    read: int, acknowledged: int, stream: Any, shard: Shard
) -> None:
    """However far over its length, not one entry goes that a group still needs."""
    acknowledged = min(read, acknowledged)
    _group(shard, "gateway", read, acknowledged)
    _trim(shard, 5)
    left = _ids(shard)
    assert set(range(acknowledged + 1, 301)) <= set(left)
    for _ in range(3):
        gone, length, name, word, _ = _trim(shard, 5)
        assert (name, word) == (b"gateway", b"holds")
        assert gone + length <= len(left)


def test_trim__heeds_the_slowest_of_many_groups(stream: Any, shard: Shard) -> None:
    """The smallest of what any group needs holds for all."""
    for name, read, acknowledged in (("a", 300, 300), ("b", 200, 90), ("c", 40, 40)):
        _group(shard, name, read, acknowledged)
    _trim(shard, 5)
    assert set(range(41, 301)) <= set(_ids(shard))
    assert _ids(shard)[0] > 30


def test_trim__goes_as_far_as_everybody_has_read(stream: Any, shard: Shard) -> None:
    """Where all is acknowledged, the stream has its length again."""
    _group(shard, "gateway", 300, 300)
    gone, length, *_ = _trim(shard, 20)
    assert (gone, length) == (280, 20)


def test_trim__passes_a_group_by_that_nobody_saw(stream: Any, shard: Shard) -> None:
    """A group whose consumers were not seen for long holds nothing, and is named."""
    _group(shard, "gone", 0, 0)
    gone, _, name, word, idle = _trim(shard, 5, now=_IDLE_MS + 2)
    assert (gone, name, word) == (295, b"gone", b"idle")
    assert idle == _IDLE_MS + 1


def test_trim__holds_for_a_group_that_was_just_made(stream: Any, shard: Shard) -> None:
    """A group without consumers counts from its last entry on."""
    _group(shard, "new", 0, 0)
    gone, _, name, word, _ = _trim(shard, 5, now=_IDLE_MS + 1)
    assert (gone, name, word) == (0, b"new", b"holds")


def test_trim__compares_ids_as_numbers(shard: Shard) -> None:
    """An id with more digits is later, whatever its first one is."""
    for made in ("9-0", "9-10", "10-0", "10-9", "100-0"):
        shard.client.xadd(shard.keys.stream, {"n": 1}, id=made)
    _group(shard, "a", 4, 0)
    shard.client.xack(shard.keys.stream, "a", "9-0", "9-10")
    _trim(shard, 1)
    assert _ids(shard) == [10, 10, 100]


_COUNTING = """
local real = redis
local redis = setmetatable({}, {__index = real})
function redis.call(command, ...)
  local reply = real.call(command, ...)
  if command == 'XRANGE' then real.call('RPUSH', 'read', #reply) end
  return reply
end
"""


@pytest.mark.parametrize(("read", "most"), [(0, 1), (95, 6), (300, 10)])
def test_trim__reads_no_more_than_can_go(read: int, most: int, stream: Any, shard: Shard) -> None:
    """Entries that must stay may be large and many: a trim that waits for a group leaves them."""
    _group(shard, "gateway", read, read)
    call = at(calls.trim(shard.keys, 15, _IDLE_MS), 1_000)
    stream.eval(_COUNTING + call.script.source, 2, *call.keys, *call.args)
    assert all(int(number) <= most for number in stream.lrange("read", 0, -1))
    assert _ids(shard)[0] == min(max(read, 1), 286)


def test_trim__holds_for_a_group_whose_consumer_is_there(stream: Any, shard: Shard) -> None:
    """However old what it reads is, a group with a living consumer is no idle one."""
    _group(shard, "gateway", 10, 0)
    gone, _, name, word, idle = _trim(shard, 5, now=_IDLE_MS * 1_000)
    assert (gone, name, word) == (0, b"gateway", b"holds")
    assert idle < _IDLE_MS
