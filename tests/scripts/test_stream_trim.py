"""trim: the stream is shortened, never past what a group has not read."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from galaxy_notify.redis_state import calls
from tests.scripts.support.shard import Shard, at

_IDLE_MS = 60_000


@pytest.fixture
def stream(shard: Shard) -> Any:
    """Give a client whose shard's stream has 300 entries, their ids counting from 1-0."""
    shard.client.config_set("stream-node-max-entries", "10")
    _publish(shard, 300)
    yield shard.client
    shard.client.config_set("stream-node-max-entries", "100")


def _publish(shard: Shard, number: int) -> None:
    pipeline = shard.client.pipeline(transaction=False)
    for at_ms in range(1, number + 1):
        pipeline.xadd(shard.keys.stream, {"n": at_ms}, id=f"{at_ms}-0")
    pipeline.execute()


class _Trimmed(NamedTuple):
    gone: int
    length: int
    now: int
    more: int
    #: Name → verdict, when it was seen, how many entries it lost.
    groups: dict[str, tuple[str, int, int]]


def _trim(
    shard: Shard,
    keep: int,
    now: int = 1_000,
    idle_ms: int | None = _IDLE_MS,
    seen: dict[bytes, int] | None = None,
) -> _Trimmed:
    call = at(calls.stream_trim(shard.keys, keep, idle_ms, seen), now)
    reply: Any = shard.client.eval(call.script.source, 3, *call.keys, *call.args)
    rows = (reply[at : at + 4] for at in range(4, len(reply), 4))
    groups = {name.decode(): (word.decode(), then, lost) for name, word, then, lost in rows}
    gone, length, then, more = reply[:4]
    return _Trimmed(gone, length, then, more, groups)


def _lost(shard: Shard) -> Any:
    return shard.client.hgetall(shard.keys.lost)


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
    assert _trim(shard, 300)[:2] == (0, 300)
    assert len(_ids(shard)) == 300


def test_trim__of_a_missing_stream(shard: Shard) -> None:
    """Where nothing was published yet, there is nothing to do."""
    assert _trim(shard, 10)[:2] == (0, 0)


@pytest.mark.parametrize("keep", [1, 7, 100, 299])
def test_trim__without_a_group_keeps_the_newest(keep: int, stream: Any, shard: Shard) -> None:
    """Without readers, the stream has its length, to a tenth."""
    gone, length, *_ = _trim(shard, keep)
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
        trimmed = _trim(shard, 5)
        assert trimmed.groups["gateway"][0] == "holds"
        assert trimmed.gone + trimmed.length <= len(left)
    assert _lost(shard) == {}


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
    trimmed = _trim(shard, 5, now=_IDLE_MS + 2)
    assert (trimmed.gone, trimmed.groups) == (295, {"gone": ("idle", 1, 295)})


def test_trim__holds_for_a_group_that_was_just_made(stream: Any, shard: Shard) -> None:
    """A group without consumers counts from its last entry on."""
    _group(shard, "new", 0, 0)
    trimmed = _trim(shard, 5, now=_IDLE_MS + 1)
    assert (trimmed.gone, trimmed.groups) == (0, {"new": ("holds", 1, 0)})


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
    call = at(calls.stream_trim(shard.keys, 15, _IDLE_MS), 1_000)
    stream.eval(_COUNTING + call.script.source, 3, *call.keys, *call.args)
    assert all(int(number) <= most for number in stream.lrange("read", 0, -1))
    assert _ids(shard)[0] == min(max(read, 1), 286)


def test_trim__holds_for_a_group_whose_consumer_is_there(stream: Any, shard: Shard) -> None:
    """However old what it reads is, a group with a living consumer is no idle one."""
    _group(shard, "gateway", 10, 0)
    trimmed = _trim(shard, 5, now=_IDLE_MS * 1_000)
    word, seen, _ = trimmed.groups["gateway"]
    assert (trimmed.gone, word) == (0, "holds")
    assert trimmed.now - seen < _IDLE_MS


_LATE = 10**15


def _passed(shard: Shard, keep: int, idle_ms: int | None = _IDLE_MS) -> int:
    """Trim past groups of which nobody was seen for long; return how many entries went."""
    trimmed = _trim(shard, keep, _LATE, idle_ms)
    while trimmed.more:
        trimmed = _trim(shard, keep, _LATE, idle_ms)
    return 300 - trimmed.length


def _forget_consumers(shard: Shard, *groups: str) -> None:
    for group in groups:
        shard.client.xgroup_delconsumer(shard.keys.stream, group, "gw-1")


@pytest.mark.parametrize("keep", [1, 93, 250])
@pytest.mark.parametrize("read", [0, 7, 95, 150, 300])
@pytest.mark.parametrize("idle_ms", [_IDLE_MS, None])
def test_trim__counts_what_each_group_lost(
    idle_ms: int | None, read: int, keep: int, stream: Any, shard: Shard
) -> None:
    """A group lost what went and was not given to it, to the entry, whatever else others read."""
    for name, number in (("a", read), ("b", 120), ("c", 300)):
        _group(shard, name, number, number)
    _forget_consumers(shard, "a", "b", "c")
    gone = _passed(shard, keep, idle_ms)
    assert gone >= 300 - keep * 1.1 - 1
    expected = {b"a": max(0, gone - read), b"b": max(0, gone - 120)}
    assert _lost(shard) == {name: b"%d" % lost for name, lost in expected.items() if lost}
    assert _passed(shard, keep, idle_ms) == gone
    assert _lost(shard) == {name: b"%d" % lost for name, lost in expected.items() if lost}


@pytest.mark.parametrize(("read", "acknowledged"), [(10, 9), (10, 0), (100, 40), (300, 250)])
def test_trim__counts_what_was_pending(
    read: int, acknowledged: int, stream: Any, shard: Shard
) -> None:
    """What was given to a group and never acknowledged is lost with its entry, and ends."""
    _group(shard, "a", read, acknowledged)
    gone = _passed(shard, 20, idle_ms=None)
    assert _lost(shard) == {b"a": b"%d" % (gone - acknowledged)}
    left: Any = stream.xpending(shard.keys.stream, "a")
    assert left["pending"] == max(0, read - gone)


def test_trim__ends_long_lists_of_pending_entries_in_turns(shard: Shard) -> None:
    """However many entries are pending, a call reads some thousands of them and says so."""
    _publish(shard, 9_000)
    _group(shard, "a", 8_990, 0)
    calls_made = 1
    while _trim(shard, 10, _LATE, None).more:
        calls_made += 1
    assert calls_made == 3
    assert _lost(shard) == {b"a": b"8990"}
    left: Any = shard.client.xpending(shard.keys.stream, "a")
    assert left["pending"] == 0
    assert len(_ids(shard)) == 10


def test_trim__forgets_the_losses_of_groups_that_are_gone(stream: Any, shard: Shard) -> None:
    """A group of the same name that is made later has lost nothing, and what went before."""
    for name in ("a", "b"):
        _group(shard, name, 0, 0)
    _passed(shard, 100)
    assert set(_lost(shard)) == {b"a", b"b"}
    stream.xgroup_destroy(shard.keys.stream, "a")
    _trim(shard, 100)
    assert set(_lost(shard)) == {b"b"}
    stream.delete(shard.keys.stream)
    _trim(shard, 100)
    assert _lost(shard) == {}


_LISTING = """
local real = redis
local redis = setmetatable({}, {__index = real})
function redis.call(command, part, ...)
  if part == 'CONSUMERS' then real.call('INCR', 'listed') end
  return real.call(command, part, ...)
end
"""


def test_trim__asks_for_consumers_only_where_it_matters(stream: Any, shard: Shard) -> None:
    """Their names may be many: they are listed for who is in the way, once."""
    for name, read in (("in the way", 40), ("a", 300), ("b", 200)):
        _group(shard, name, read, read)

    def listed(keep: int, seen: dict[bytes, int]) -> tuple[int, int]:
        """Return how often consumers were listed, and when those in the way were seen."""
        call = at(calls.stream_trim(shard.keys, keep, _IDLE_MS, seen), _LATE)
        reply: Any = stream.eval(_LISTING + call.script.source, 3, *call.keys, *call.args)
        assert reply[4:6] == [b"in the way", b"holds"][: len(reply) - 4]
        return int(stream.getdel("listed") or 0), reply[6] if reply[4:] else 0

    times, then = listed(20, {})
    assert times == 1
    assert listed(20, {b"in the way": then}) == (0, then)
    # Seen too long ago, or in what is now the future, it is asked for again.
    for other in (_LATE - _IDLE_MS - 1, _LATE + 1):
        assert listed(20, {b"in the way": other})[0] == 1
    # Where as much went as should, nobody is in the way.
    assert listed(260, {}) == (0, 0)
    stream.xgroup_setid(shard.keys.stream, "in the way", "300-0")
    assert listed(200, {}) == (0, 0)
