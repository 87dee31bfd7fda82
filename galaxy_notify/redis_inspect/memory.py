"""What a deployment's memory goes to, estimated from samples: what waits, what is kept, streams.

Nothing is walked, so a look reads no more beside ten million notifications than beside ten
thousand: some two thousand short reads in a few round trips.

What waits is drawn from the schedules by rank: their lengths are exact, and `ZRANGE` finds a rank
in log n. A route stands for its share of its notification, so large ones do not count twice.

No index lists what is kept after publishing: `accepted` has an entry for a call, which names any
number of ids, and the streams are trimmed earlier. So it is drawn from the keys of each primary.
`SCAN` goes by the hash of a key: its first page has each kind of key as often as the whole has, and
INFO has the number of all. `RANDOMKEY` would need a further right, a call for each key, and prefers
keys that are alone in their bucket. A cluster of Redis or Valkey 8 scans slot by slot: there the
first of a primary's shards stands for the others.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import split_member
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import number, text
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_inspect.node_report import Node, nodes_of
from galaxy_notify.redis_inspect.samples import Sample, is_denied, read_samples, spread, usage
from galaxy_notify.redis_state.deployment import Deployment, Words, try_all
from galaxy_notify.redis_state.keys import Keys

_ROUTES: Final = 150
#: More shards are not asked: they are alike, as the ids of notifications are spread by their hash.
MOST_SHARDS: Final = 64


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """An estimate in bytes over all shards; None for what this user has no right to find out.

    *waiting* and *dead* have their indexes with them; *kept* is what only its retention keeps.
    *limit* sums up ``maxmemory``, or the memory of the host where a primary has none.
    """

    waiting: int
    dead: int
    streams: int
    kept: int | None
    used: int | None
    limit: int | None
    is_limit_set: bool
    samples: tuple[Sample, ...]

    def as_json(self) -> dict[str, int | None]:
        """Return what ``status --json`` prints."""
        return {
            "waiting_bytes": self.waiting,
            "kept_bytes": self.kept,
            "dead_bytes": self.dead,
            "streams_bytes": self.streams,
            "sampled": len(self.samples),
        }


def read_memory(deployment: Deployment) -> MemoryUse | None:
    """Estimate what the memory goes to; None without the right to ask. Raises `RedisFault`."""
    shards = spread(deployment.all_keys, MOST_SHARDS)
    placed = [(keys, channel) for keys in shards for channel in deployment.shared.channels]
    schedules = [_Index(keys, keys.schedule(channel)) for keys, channel in placed]
    dead = [_Index(keys, keys.dead(channel)) for keys, channel in placed]
    abandoned = [keys.abandoned(channel) for keys, channel in placed]
    indexes = _sum_of_sizes(deployment, [*(index.key for index in schedules), *abandoned])
    listed = _sum_of_sizes(deployment, [index.key for index in dead])
    streams = _sum_of_sizes(
        deployment, {key: None for keys in shards for key in (keys.stream, keys.accepted)}
    )
    if indexes is None or listed is None or streams is None:
        return None
    waiting, waiting_samples = _read_routes(deployment, schedules)
    resting, dead_samples = _read_routes(deployment, dead)
    keyspaces = read_keyspaces(deployment)
    scanned = (sample for keyspace in keyspaces for sample in keyspace.samples)
    share = deployment.shared.shards / len(shards)
    return MemoryUse(
        waiting=round(share * (indexes + waiting)),
        dead=round(share * (listed + resting)),
        streams=round(share * streams),
        kept=_sum(keyspaces, "kept"),
        used=_sum(keyspaces, "used"),
        limit=_sum(keyspaces, "limit"),
        is_limit_set=all(keyspace.is_limit_set for keyspace in keyspaces),
        samples=(*waiting_samples, *dead_samples, *scanned),
    )


class _Index(NamedTuple):
    """A sorted set of members of a shard."""

    keys: Keys
    key: str


def _sum(keyspaces: Sequence[Keyspace], field: str) -> int | None:
    """Return the sum over all primaries; None where one of them is unknown."""
    found = [getattr(keyspace, field) for keyspace in keyspaces]
    return None if None in found else sum(found)


def _sum_of_sizes(deployment: Deployment, keys: Iterable[str]) -> int | None:
    """Return what some keys take; None without the right to ask."""
    replies = try_all(deployment, map(usage, keys))
    return None if any(map(is_denied, replies)) else sum(map(_number, replies))


def _read_routes(deployment: Deployment, indexes: Sequence[_Index]) -> tuple[float, list[Sample]]:
    """Return what the notifications of all routes in some indexes take, and those looked at."""
    lengths = [_number(one) for one in try_all(deployment, (["ZCARD", i.key] for i in indexes))]
    ranks = list(_ranks(indexes, lengths))
    found = try_all(deployment, (["ZRANGE", index.key, rank, rank] for index, rank in ranks))
    names = [
        index.keys.notification(name.notification_id)
        for (index, _), members in zip(ranks, found, strict=True)
        if not isinstance(members, RedisFault)
        for member in members
        if (name := split_member(member))
    ]
    looked_at = [one for one in read_samples(partial(try_all, deployment), names) if one]
    each = sum(sample.size / max(1, sample.open) for sample in looked_at) / max(1, len(looked_at))
    return sum(lengths) * each, looked_at


def _ranks(indexes: Sequence[_Index], lengths: Sequence[int]) -> Iterator[tuple[_Index, int]]:
    """Yield places that are evenly spaced over all the indexes, one after the other."""
    ends = list(accumulate(lengths))
    for place in spread(range(sum(lengths)), _ROUTES):
        at = bisect_right(ends, place)
        yield indexes[at], place - ends[at] + lengths[at]


def _number(reply: Any) -> int:
    """Return a count, 0 where the key is of a wrong type: that is reported elsewhere."""
    return 0 if isinstance(reply, RedisFault) else number(reply)


_KEYS: Final = 300
_FEWEST: Final = 30
_MOST_PAGES: Final = 8


@dataclass(frozen=True, slots=True)
class Keyspace:
    """The keys of a primary; None for what this user may not ask.

    *limit* is ``maxmemory``, or where none is set the memory of the host, if that is known.
    """

    kept: int | None
    used: int | None
    limit: int | None
    is_limit_set: bool
    samples: tuple[Sample, ...]


def read_keyspaces(deployment: Deployment) -> list[Keyspace]:
    """Look at each primary; raise `RedisFault` where one is away."""
    nodes = nodes_of(deployment)
    pattern = re.compile(rf"\{{{re.escape(deployment.key_space.prefix)}:\d+\}}:notification:")
    return [_read(node, pattern, max(_FEWEST, _KEYS // len(nodes))) for node in nodes]


def _read(node: Node, pattern: re.Pattern[str], wanted: int) -> Keyspace:
    keyspace, memory = _ask(node, [["INFO", "keyspace"], ["INFO", "memory"]])
    if isinstance(keyspace, RedisFault) or isinstance(memory, RedisFault):
        return Keyspace(None, None, None, False, ())
    limit, host = number(memory.get("maxmemory")), number(memory.get("total_system_memory"))
    seen = _first_keys(node, wanted)
    found = _ours(node, seen or (), pattern)
    kept = None
    if seen is not None:
        # Each key that was seen stands for as many as there are beside it.
        size = sum(sample.size for sample in found if sample.is_kept)
        kept = round(size * _number_of_keys(node, keyspace) / max(1, len(seen)))
    used = number(memory.get("used_memory"))
    return Keyspace(kept, used, limit or host or None, bool(limit), tuple(found))


def _first_keys(node: Node, wanted: int) -> list[str] | None:
    """Return the first keys by their hash, about so many; None without the right."""
    found: dict[str, None] = {}
    cursor: Any = 0
    for _ in range(_MOST_PAGES):
        (reply,) = _ask(node, [["SCAN", cursor, "COUNT", wanted]])
        if isinstance(reply, RedisFault):
            return None
        cursor, names = reply
        found |= dict.fromkeys(map(text, names))
        if not int(cursor) or len(found) >= wanted:
            break
    return list(found)


def _ours(node: Node, names: Sequence[str], pattern: re.Pattern[str]) -> list[Sample]:
    ours = [name for name in names if pattern.match(name)]
    samples = read_samples(partial(_ask, node), ours)
    return [sample for sample in samples if sample is not None]


def _ask(node: Node, commands: Iterable[Words]) -> list[Any]:
    sent = [Command(list(command)) for command in commands]
    return run_all_sync(node.client, sent) if sent else []


def _number_of_keys(node: Node, keyspace: Mapping[str, Any]) -> int:
    database = node.client.connection_pool.connection_kwargs.get("db") or 0
    return number(keyspace.get(f"db{database}", {}).get("keys"))
