"""How fast a deployment publishes, and what the retention of that much takes.

A gateway stream says it without any waiting: Redis dates its entries, and it holds the last ones.
Its length over the age of its first entry is the rate of the last `max_len` events: seconds of a
busy deployment, and days of a quiet one. Two readings of the totals would need a pause, and one
batch between them would count as a thousand events a second. What is kept for how long is read from
the newest events; the sample of all that is kept holds those of a long retention far too often.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import parse_target
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import number, text
from galaxy_notify.redis_inspect.memory import MOST_SHARDS
from galaxy_notify.redis_inspect.samples import read_samples, spread
from galaxy_notify.redis_state.deployment import Deployment, server_now, try_all
from galaxy_notify.redis_state.group_report import order_of
from galaxy_notify.redis_state.keys import Keys

#: So many of the newest events are read, with their payloads.
_NEWEST: Final = 32


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate of events, over all shards and on the busiest one, and what each leaves behind.

    It was read from so many *events* of the last *span_ms*. *bytes_each* is what an event's share
    of its notification takes, and *keep_ms* for how long: 0 where none of the newest is kept.
    """

    events: int
    span_ms: float
    per_second: float
    busiest_per_second: float
    bytes_each: float
    keep_ms: float

    @property
    def kept_bytes(self) -> float:
        """Return what is kept in all once this rate has held for as long as the retention."""
        return self.per_second * self.keep_ms / 1000 * self.bytes_each


class _Event(NamedTuple):
    """A new event, as the key of its notification and the time it was published at."""

    key: str
    at_ms: int


def read_pace(deployment: Deployment) -> Pace:
    """Read how fast events are published; raise `RedisFault` where Redis is away."""
    shards = spread(deployment.all_keys, MOST_SHARDS)
    count = max(1, _NEWEST // len(shards))
    lengths = try_all(deployment, (["XLEN", keys.stream] for keys in shards))
    firsts = try_all(deployment, (["XRANGE", keys.stream, "-", "+", "COUNT", 1] for keys in shards))
    newest = try_all(
        deployment, (["XREVRANGE", keys.stream, "+", "-", "COUNT", count] for keys in shards)
    )
    now_ms = server_now(deployment)
    spans = [
        (number(length), max(1, now_ms - order_of(text(first[0][0]))[0]))
        for length, first in zip(lengths, firsts, strict=True)
        if not isinstance(length, RedisFault) and not isinstance(first, RedisFault) and first
    ]
    rates = [length * 1000 / span_ms for length, span_ms in spans]
    share = deployment.shared.shards / len(shards)
    events = [event for found in newest for event in _events(deployment, found)]
    bytes_each, keep_ms = _kept(deployment, events, now_ms)
    return Pace(
        events=sum(length for length, _ in spans),
        span_ms=max((span_ms for _, span_ms in spans), default=0),
        per_second=share * sum(rates),
        busiest_per_second=max(rates, default=0.0),
        bytes_each=bytes_each,
        keep_ms=keep_ms,
    )


def read_marks(
    deployment: Deployment, groups: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], int]:
    """Return how many handled events each group remembers, by the shard and the group."""
    keys: Sequence[Keys] = deployment.all_keys
    counts = try_all(deployment, (["ZCARD", keys[shard].seen(name)] for shard, name in groups))
    found = zip(groups, counts, strict=True)
    return {group: number(count) for group, count in found if not isinstance(count, RedisFault)}


def _events(deployment: Deployment, entries: Any) -> Iterator[_Event]:
    """Read entries of a stream, to which other programs may write as well."""
    if isinstance(entries, RedisFault):
        return
    for stream_id, fields in entries:
        target = parse_target(text((fields or {}).get(b"event_id", b"")))
        if target is not None:
            keys = deployment.keys_for(target.notification_id)
            yield _Event(keys.notification(target.notification_id), order_of(text(stream_id))[0])


def _kept(deployment: Deployment, events: Sequence[_Event], now_ms: int) -> tuple[float, float]:
    """Return what an event leaves behind in bytes, and for how long in ms."""
    looked_at = read_samples(partial(try_all, deployment), (event.key for event in events))
    size = product = number_kept = 0.0
    for event, sample in zip(events, looked_at, strict=True):
        if sample is not None and sample.is_kept:
            share = sample.size / sample.routes
            size += share
            product += share * (sample.ttl_ms + max(0, now_ms - event.at_ms))
            number_kept += 1
    return (size / number_kept, product / size) if number_kept else (0.0, 0.0)
