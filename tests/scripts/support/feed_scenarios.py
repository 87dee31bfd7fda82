"""Busy calls of the scripts that keep the feed's group out of the way of trimming."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.feed_calls import (
    FEED_GROUP,
    MoveLimits,
    feed_ack,
    feed_attend,
    feed_move,
)
from tests.scripts.support.shard import NOW, Shard

_LIMITS = MoveLimits(backlog_max=1000)


def _attend(shard: Shard) -> ScriptCall:
    """A writer that reports, another that did long ago, and entries to count."""
    _given(shard, 2)
    shard.client.zadd(shard.keys.feed_writers, {"w-2": 1})
    return feed_attend(shard.keys, "w-1", "", NOW)


def _move_pending(shard: Shard) -> ScriptCall:
    """Entries that a writer was given, before others."""
    _given(shard, 3)
    return feed_move(shard.keys, "w-1", _LIMITS, NOW)


def _move(shard: Shard) -> ScriptCall:
    """Entries that no writer was given."""
    _given(shard, 0)
    return feed_move(shard.keys, "w-1", _LIMITS, NOW)


def _stand_in(shard: Shard) -> ScriptCall:
    """Entries whose writers reported long ago."""
    shard.client.xgroup_create(shard.keys.feed_backlog, FEED_GROUP, "0", mkstream=True)
    shard.client.zadd(shard.keys.feed_writers, {"w-1": 1})
    _given(shard, 0)
    return feed_move(shard.keys, "w-1", MoveLimits(1000, alone_ms=60_000), NOW)


def _ack(shard: Shard) -> ScriptCall:
    """Two entries of the backlog that are rows now."""
    backlog = shard.keys.feed_backlog
    shard.client.xgroup_create(backlog, FEED_GROUP, "0", mkstream=True)
    ids: list[Any] = [shard.client.xadd(backlog, {"n": n}) for n in range(2)]
    shard.client.xreadgroup(FEED_GROUP, "w-1", {backlog: ">"})
    return feed_ack(shard.keys, [one.decode() for one in ids])


def _given(shard: Shard, count: int) -> None:
    """Add entries to the gateway stream and have a writer be given the first of them."""
    for number in range(6):
        shard.client.xadd(shard.keys.stream, {"n": number})
    shard.client.xgroup_create(shard.keys.stream, FEED_GROUP, "0")
    if count:
        shard.client.xreadgroup(FEED_GROUP, "w-1", {shard.keys.stream: ">"}, count=count)


#: Name → what brings a shard to where the call is sent.
FEED: dict[str, Callable[[Shard], ScriptCall]] = {
    "feed_attend": _attend,
    "feed_move": _move,
    "feed_move pending": _move_pending,
    "feed_move in place of a writer": _stand_in,
    "feed_ack": _ack,
}
