"""The gateway streams as operators see them: length, newest entries, groups, what they lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import redis

from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import unwrap, unwrap_or
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.readers import Readers, read_readers
from galaxy_notify.redis_state.deployment import Deployment, server_now, try_all
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group_report import (
    GroupReport,
    StreamId,
    group_report,
    has_no_key,
    order_of,
)
from galaxy_notify.redis_state.keys import Keys

_READ: Final = 100
_BLOCK_MS: Final = 1000


class StreamEntry(NamedTuple):
    """An entry of a gateway stream."""

    shard: int
    stream: str
    stream_id: str
    fields: Mapping[bytes, bytes]


def parked_length(client: redis.Redis, keys: Keys) -> int:
    """Return how many entries rest in the parked stream of a shard."""
    (length,) = run_all_sync(client, [Command(["XLEN", keys.parked])])
    return int(unwrap(length))


def newest(client: redis.Redis, all_keys: Sequence[Keys], count: int) -> list[StreamEntry]:
    """Return the newest *count* entries over all shards, oldest first."""
    return _merged(_newest(client, all_keys, count), count) if count > 0 else []


def follow(
    client: redis.Redis, all_keys: Sequence[Keys], count: int
) -> Iterator[StreamEntry | None]:
    """Yield the newest *count* entries, then every later one as it arrives.

    None stands for a second in which nothing came, so that the caller may end.
    """
    found = _newest(client, all_keys, max(1, count))
    yield from _merged(found, count)
    at = {keys.stream: "0-0" for keys in all_keys}
    at |= {entries[0].stream: entries[0].stream_id for entries in found if entries}
    readings = _readings(client, all_keys)
    while True:
        nothing = True
        for reader, some in readings:
            for entry in _read(reader, some, at, _BLOCK_MS // len(readings)):
                at[entry.stream], nothing = entry.stream_id, False
                yield entry
        if nothing:
            yield None


def _readings(
    client: redis.Redis, all_keys: Sequence[Keys]
) -> list[tuple[redis.Redis, list[Keys]]]:
    """Return which streams can be read in one command: all of a server, in a cluster one by one."""
    readers = {keys: at_shard(client, keys.tag) for keys in all_keys}
    if len(set(readers.values())) == 1:
        return [(next(iter(readers.values())), list(all_keys))]
    return [(reader, [keys]) for keys, reader in readers.items()]


def _read(
    client: redis.Redis, some: Sequence[Keys], at: Mapping[str, str], block_ms: int
) -> Iterator[StreamEntry]:
    by_stream = {keys.stream: keys for keys in some}
    # Values of Any: the commands' own types are wider than what stands here.
    positions: dict[Any, Any] = {stream: at[stream] for stream in by_stream}
    with as_fault("XREAD"):
        reply: Any = client.xread(positions, count=_READ, block=block_ms)
    for name, rows in (reply.items() if isinstance(reply, dict) else reply) or ():
        for row in rows[0] if rows and isinstance(rows[0], list) else rows:
            yield _entry(by_stream[name.decode()], row)


def moved_entries(client: redis.Redis, all_keys: Sequence[Keys], group: str) -> int:
    """Return how many entries of a group were moved to a backlog: only the feed has one."""
    if group != FEED_GROUP:
        return 0
    replies = run_all_sync(client, [Command(["XLEN", keys.feed_backlog]) for keys in all_keys])
    return sum(int(unwrap_or(reply, 0)) for reply in replies)


def drop_group(client: redis.Redis, all_keys: Sequence[Keys], group: str) -> int:
    """Forget a group, its marks and its losses on every shard; return on how many shards it was.

    That of the feed takes with it what only the feed reads.
    """
    dropped = 0
    for keys in all_keys:
        only_feed = [keys.feed_backlog, keys.feed_writers, keys.deliveries]
        own = only_feed if group == FEED_GROUP else []
        destroyed, *forgotten = run_all_sync(
            client,
            [
                Command(["XGROUP", "DESTROY", keys.stream, group]),
                *(Command(["UNLINK", key]) for key in [keys.seen(group), *own]),
                Command(["HDEL", keys.lost, group]),
            ],
        )
        if not has_no_key(destroyed):
            dropped += int(unwrap(destroyed))
        for reply in forgotten:
            unwrap(reply)
    return dropped


def _newest(client: redis.Redis, all_keys: Sequence[Keys], count: int) -> list[list[StreamEntry]]:
    asked = [Command(["XREVRANGE", keys.stream, "+", "-", "COUNT", count]) for keys in all_keys]
    replies = run_all_sync(client, asked)
    return [
        [_entry(keys, row) for row in unwrap(rows)]
        for keys, rows in zip(all_keys, replies, strict=True)
    ]


def _merged(found: Sequence[Sequence[StreamEntry]], count: int) -> list[StreamEntry]:
    everything = sorted((entry for entries in found for entry in entries), key=_order)
    return everything[-count:] if count > 0 else []


def _entry(keys: Keys, row: Any) -> StreamEntry:
    return StreamEntry(keys.shard, keys.stream, row[0].decode(), row[1])


def _order(entry: StreamEntry) -> tuple[StreamId, int]:
    return order_of(entry.stream_id), entry.shard


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A gateway stream; *fault* is why it takes nothing, where the key is not a stream.

    *held_ms* is how old the newest entry of one that holds is: nothing was published since. Of one
    that holds *readers* says by group who reads it.
    """

    shard: int
    key: str
    length: int
    max_len: int
    holding: bool
    groups: dict[str, GroupReport] = field(default_factory=dict)
    fault: str = ""
    held_ms: int | None = None
    readers: Mapping[str, Readers] = field(default_factory=dict)


def read_streams(deployment: Deployment) -> list[StreamReport]:
    """Return a report for each shard's stream; raise `RedisFault` where Redis is away."""
    shards = deployment.all_keys
    lengths = try_all(deployment, (["XLEN", keys.stream] for keys in shards))
    rows = zip(shards, lengths, strict=True)
    return [_report(deployment, keys, length) for keys, length in rows]


def _report(deployment: Deployment, keys: Keys, length: int | RedisFault) -> StreamReport:
    max_len, trim = deployment.shared.max_len, deployment.shared.trim
    if isinstance(length, RedisFault):
        if length.fault.code == "NOPERM":
            raise length  # it says nothing of the stream
        fault = length.fault.text
        return StreamReport(keys.shard, keys.stream, 0, max_len, holding=True, fault=fault)
    # As a claim decides it: past twice its length a stream takes nothing until it is read.
    holding = trim == "acknowledged" and length >= 2 * max_len
    groups = group_report(deployment.client, keys)
    report = StreamReport(keys.shard, keys.stream, length, max_len, holding, groups)
    if not holding:
        return report
    readers = read_readers(deployment, ((keys.stream, name) for name in groups))
    by_group = {name: one for (_, name), one in readers.items()}
    return replace(report, held_ms=_newest_age(deployment, keys), readers=by_group)


def _newest_age(deployment: Deployment, keys: Keys) -> int | None:
    """Return how old the newest entry is, by the ids that Redis gives; None where unknown."""
    (newest,) = try_all(deployment, [["XREVRANGE", keys.stream, "+", "-", "COUNT", 1]])
    if isinstance(newest, RedisFault) or not newest:
        return None
    return max(0, server_now(deployment) - order_of(text(newest[0][0]))[0])
