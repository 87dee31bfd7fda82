"""The gateway streams of a deployment: their length, whether they hold, how their groups stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from galaxy_notify.redis_state.faults import RedisFault
from galaxy_notify.redis_state.group_report import GroupReport, group_report
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.place import Place
from galaxy_notify.redis_state.reading import number, server_now, text, try_all
from galaxy_notify.redis_state.servers import pairs

#: (stream, group) → how many ms ago the last of its consumers was seen; None where it has none.
#: A group is left out where that may not be asked.
Seen = Mapping[tuple[str, str], int | None]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A gateway stream; *fault* tells why it takes nothing, where it is no stream at all.

    *held_ms* is how old the newest entry of one that holds is: nothing was published since.
    """

    shard: int
    key: str
    length: int
    max_len: int
    holding: bool
    groups: dict[str, GroupReport] = field(default_factory=dict)
    fault: str = ""
    held_ms: int | None = None


def read_streams(place: Place) -> list[StreamReport]:
    """Return a report for each shard's stream; raise `RedisFault` where Redis is away."""
    shards = place.all_keys
    lengths = try_all(place, (["XLEN", keys.stream] for keys in shards))
    rows = zip(shards, lengths, strict=True)
    return [_report(place, keys, length) for keys, length in rows]


def read_consumers(place: Place, streams: Iterable[StreamReport]) -> Seen:
    """Return when the consumers of each group were seen last; raise `RedisFault`."""
    groups = [(stream.key, name) for stream in streams for name in stream.groups]
    replies = try_all(place, (["XINFO", "CONSUMERS", *group] for group in groups))
    found: dict[tuple[str, str], int | None] = {}
    for group, reply in zip(groups, replies, strict=True):
        if not isinstance(reply, RedisFault):
            found[group] = min((int(pairs(row)[b"idle"]) for row in reply), default=None)
    return found


def _report(place: Place, keys: Keys, length: int | RedisFault) -> StreamReport:
    max_len, trim = place.deployment.max_len, place.deployment.trim
    if isinstance(length, RedisFault):
        fault = length.fault.text
        return StreamReport(keys.shard, keys.stream, 0, max_len, holding=True, fault=fault)
    # As a claim decides it: past twice its length a stream takes nothing until somebody reads.
    holding = trim == "acknowledged" and length >= 2 * max_len
    groups = group_report(place.client, keys)
    held_ms = _newest_age(place, keys) if holding else None
    return StreamReport(keys.shard, keys.stream, length, max_len, holding, groups, held_ms=held_ms)


def _newest_age(place: Place, keys: Keys) -> int | None:
    """Return how old the newest entry is, by the ids that Redis gives; None where unknown."""
    (newest,) = try_all(place, [["XREVRANGE", keys.stream, "+", "-", "COUNT", 1]])
    if isinstance(newest, RedisFault) or not newest:
        return None
    return max(0, server_now(place) - number(text(newest[0][0]).partition("-")[0]))
