"""One cheap reading of a shard's backlog, for metrics and the status line of the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.replies import moment, number
from galaxy_notify.redis_inspect.totals import SKIPPED, TOTALS, apart
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group_report import FREQUENT, group_report_async, least_lag
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.telemetry import Backlog, Snapshot

_REPORTED: Final = (*TOTALS, *SKIPPED)
_OVERDUE_MS = 1000


async def read_gauges(client: redis.asyncio.Redis, keys: Keys, channels: Sequence[str]) -> Snapshot:
    """Read the gauges of a shard in three round trips; raises `RedisFault`.

    Overdue is counted by the score, without leased routes; a lag is what a group has at least to
    read.
    """
    with as_fault("gauges"):
        seconds, micros = await client.time()
        now_ms = seconds * 1000 + micros // 1000
        pipeline = client.pipeline(transaction=False)
        pipeline.xlen(keys.stream)
        pipeline.hmget(keys.totals, *_REPORTED)
        pipeline.xlen(keys.feed_backlog)
        for channel in channels:
            pipeline.zcard(keys.schedule(channel))
            pipeline.zcount(keys.schedule(channel), "-inf", now_ms - _OVERDUE_MS)
            pipeline.zrange(keys.schedule(channel), 0, 0, withscores=True)
            pipeline.zcard(keys.dead(channel))
            pipeline.sismember(keys.paused, channel)
        length, totals, backlog, *rest = await pipeline.execute(raise_on_error=False)
        shard, lags = keys.shard, await _lags(client, keys)
        waiting = _number(backlog)
        return Snapshot(
            {
                (shard, channel): _backlog(rest[5 * i : 5 * i + 5], now_ms)
                for i, channel in enumerate(channels)
            },
            {shard: _number(length)},
            {(shard, group): lag for group, lag in lags.items()},
            {(shard, outcome): count for outcome, count in _totals(totals).items()},
            {shard: waiting} if waiting or FEED_GROUP in lags else {},
        )


def _backlog(replies: Sequence[Any], now_ms: int) -> Backlog:
    scheduled, overdue, head, dead, paused = replies
    late = 0.0
    if isinstance(head, list) and head and _number(overdue):
        late = max(0.0, (now_ms - moment(head[0][1])) / 1000)
    is_paused = _number(paused) == 1
    return Backlog(_number(scheduled), _number(overdue), late, _number(dead), is_paused)


async def _lags(client: redis.asyncio.Redis, keys: Keys) -> dict[str, int]:
    try:
        reports = await group_report_async(client, keys, FREQUENT)
    except RedisFault as error:
        if error.fault.code != "WRONGTYPE":
            raise
        return {}
    return {name: least_lag(report) for name, report in reports.items()}


def _totals(totals: Any) -> dict[str, int]:
    if not isinstance(totals, list):
        return {}
    answers = zip(_REPORTED, totals, strict=True)
    return apart({name: number(value) for name, value in answers if value is not None})


def _number(reply: Any) -> int:
    """Return a count, 0 where the key is of a wrong type: that is reported elsewhere."""
    return reply if isinstance(reply, int) else 0
