"""The gateway streams of a deployment: their length, whether they hold, how their groups stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_inspect.readers import Readers, read_readers
from galaxy_notify.redis_inspect.reading import server_now, try_all
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.group_report import GroupReport, group_report, order_of
from galaxy_notify.redis_state.keys import Keys


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
