"""How the consumer groups of a shard stand: what they still have to read, and what they lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypedDict

import redis
import redis.asyncio

from galaxy_notify.redis_state.faults import RedisFault, as_fault
from galaxy_notify.redis_state.flows import Flow, run_flow, run_flow_sync, sound
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.reading import number
from galaxy_notify.redis_state.runner import run_all
from galaxy_notify.redis_state.scripts import Read

StreamId = tuple[int, int]

#: A group that is behind by fewer entries is counted exactly.
COUNTED: Final = 100


class GroupReport(TypedDict):
    """How a group stands on one shard; None is unknown, as lag and loss are below Redis 7.0.

    ``lag`` counts what is still in the stream and was not delivered. ``lost`` is what was removed
    before the group was given it; while the group is far behind it is a lower bound.
    """

    lag: int | None
    pending: int
    oldest_pending_s: float | None
    lost: int | None


def group_report(client: redis.Redis, keys: Keys, undone: int) -> dict[str, GroupReport]:
    """Return how each group of a shard stands; *undone* entries were taken back, not lost."""
    with as_fault("groups"):
        return run_flow_sync(client, _report(keys, undone))


async def group_report_async(
    client: redis.asyncio.Redis, keys: Keys, undone: int | None = None
) -> dict[str, GroupReport]:
    """Return how each group of a shard stands; *undone* None is read from the totals."""
    with as_fault("groups"):
        if undone is None:
            (total,) = await run_all(client, [Read(["HGET", keys.totals, "undone"])])
            undone = number(sound(total))
        return await run_flow(client, _report(keys, undone))


def _report(keys: Keys, undone: int) -> Flow[dict[str, GroupReport]]:
    stream = keys.stream
    info, groups, time = yield [
        Read(["XINFO", "STREAM", stream]),
        Read(["XINFO", "GROUPS", stream]),
        Read(["TIME"]),
    ]
    if has_no_key(info):
        return {}
    state = _StreamState.of(_named(sound(info)), undone)
    found = [_named(group) for group in sound(groups)]
    now_s = int(sound(time)[0]) + int(time[1]) / 1e6
    asked: list[Read] = []
    for group in found:
        last = group["last-delivered-id"].decode()
        asked.append(Read(["XPENDING", stream, group["name"]]))
        asked.append(Read(["XRANGE", stream, f"({last}", "+", "COUNT", state.ask_for(last)]))
    replies = iter((yield asked) if asked else [])
    reports: dict[str, GroupReport] = {}
    for group, pending, rest in zip(found, replies, replies, strict=True):
        name = group["name"].decode("utf-8", "replace")
        reports[name] = state.report(group, sound(pending), len(sound(rest)), now_s)
    return reports


class _StreamState(NamedTuple):
    """What of a stream's own counters the reports of its groups need."""

    length: int
    first: StreamId
    last: StreamId
    added: int | None
    undone: int

    @classmethod
    def of(cls, info: Mapping[str, Any], undone: int) -> _StreamState:
        added = info.get("entries-added")
        first = info["first-entry"]
        return cls(
            int(info["length"]),
            order_of(first[0].decode()) if first else (0, 0),
            order_of(info["last-generated-id"].decode()),
            None if added is None else int(added),
            undone,
        )

    def ask_for(self, delivered: str) -> int:
        """Return how many entries to look at to count what a group was not given."""
        return COUNTED if self.first <= order_of(delivered) < self.last else 1

    def report(
        self, group: Mapping[str, Any], pending: Any, rest: int, now_s: float
    ) -> GroupReport:
        delivered = order_of(group["last-delivered-id"].decode())
        oldest = pending["min"] if pending["pending"] else None
        remaining = self._remaining(delivered, rest)
        age = None if oldest is None else max(0.0, now_s - order_of(oldest.decode())[0] / 1000)
        return GroupReport(
            lag=self._lag(group, remaining),
            pending=int(group["pending"]),
            oldest_pending_s=None if age is None else round(age, 3),
            lost=self._lost(group, remaining),
        )

    def _remaining(self, delivered: StreamId, rest: int) -> int | None:
        if self.length == 0 or delivered >= self.last:
            return 0
        if delivered < self.first:
            return self.length
        return rest if rest < COUNTED else None

    def _lag(self, group: Mapping[str, Any], remaining: int | None) -> int | None:
        if self.added is None or remaining is not None:
            return None if self.added is None else remaining
        lag = group.get("lag")  # the server's own counts what was lost, too
        return None if lag is None else min(int(lag), self.length)

    def _lost(self, group: Mapping[str, Any], remaining: int | None) -> int | None:
        read = group.get("entries-read")
        if self.added is None or read is None:
            return None
        left = self.length if remaining is None else remaining
        return max(0, self.added - left - int(read) - self.undone)


def order_of(stream_id: str) -> StreamId:
    """Return a stream id as a pair that sorts."""
    ms, _, number = stream_id.partition("-")
    return int(ms), int(number or 0)


def _named(reply: Any) -> dict[str, Any]:
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value for name, value in pairs}


def has_no_key(reply: Any) -> bool:
    """Tell whether a reply says that the stream is not there."""
    text = reply.fault.text if isinstance(reply, RedisFault) else ""
    return "no such key" in text or "requires the key to exist" in text
