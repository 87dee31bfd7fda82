"""How the consumer groups of a shard stand: what they still have to read, and what they lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, NotRequired, TypedDict

import redis
import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.runner import run, run_sync
from galaxy_notify.redis_client.scripts import ScriptCall, script
from galaxy_notify.redis_state.keys import Keys

StreamId = tuple[int, int]

#: Values of the script's reply for each group.
_FIELDS: Final = 6


class Limits(NamedTuple):
    """How many entries, and about how many bytes of them, are read to count lags."""

    entries: int
    bytes: int


#: For an operator who asks: a script that takes some ten milliseconds.
THOROUGH: Final = Limits(5_000, 4 << 20)
#: For what is measured again and again: some milliseconds.
FREQUENT: Final = Limits(1_000, 1 << 20)


class GroupReport(TypedDict):
    """How a group stands on one shard; None is unknown.

    ``lag`` counts what is in the stream and was not delivered. It is exact, or unknown where more
    entries than the limits allow lie on both sides of the group's place; ``lag_at_least`` is there
    only then. ``lost`` is what our trimming removed before the group had acknowledged it.
    """

    lag: int | None
    pending: int
    oldest_pending_s: float | None
    lost: int | None
    lag_at_least: NotRequired[int]


def group_read(keys: Keys, limits: Limits) -> ScriptCall:
    """Ask how every group of a shard stands."""
    return ScriptCall(script("group_read"), [keys.stream, keys.lost, keys.never], [*limits])


def group_report(
    client: redis.Redis, keys: Keys, limits: Limits = THOROUGH
) -> dict[str, GroupReport]:
    """Return how each group of a shard stands; raise `RedisFault`."""
    with as_fault("groups"):
        return read_groups(run_sync(client, group_read(keys, limits)))


async def group_report_async(
    client: redis.asyncio.Redis, keys: Keys, limits: Limits = THOROUGH
) -> dict[str, GroupReport]:
    """Return how each group of a shard stands; raise `RedisFault`."""
    with as_fault("groups"):
        return read_groups(await run(client, group_read(keys, limits)))


@reader
def read_groups(reply: Sequence[Any]) -> dict[str, GroupReport]:
    """Return the reports in a reply of the script."""
    now_ms, _, *values = reply
    rows = (values[at : at + _FIELDS] for at in range(0, len(values), _FIELDS))
    return {row[0].decode("utf-8", "replace"): _report(int(now_ms), *row[1:]) for row in rows}


def _report(
    now_ms: int, pending: int, oldest: bytes, behind: int, is_open: int, lost: int
) -> GroupReport:
    age_ms = max(0, now_ms - order_of(oldest.decode())[0]) if oldest else None
    report = GroupReport(
        lag=None if is_open else int(behind),
        pending=int(pending),
        oldest_pending_s=None if age_ms is None else age_ms / 1000,
        lost=int(lost),
    )
    if is_open:
        report["lag_at_least"] = int(behind)
    return report


def least_lag(report: GroupReport) -> int:
    """Return how many entries a group has at least to read."""
    lag = report["lag"]
    return report.get("lag_at_least", 0) if lag is None else lag


def order_of(stream_id: str) -> StreamId:
    """Return a stream id as a pair that sorts."""
    ms, _, number = stream_id.partition("-")
    return int(ms), int(number or 0)


def has_no_key(reply: Any) -> bool:
    """Return whether a reply says that the stream is not there."""
    text = reply.fault.text if isinstance(reply, RedisFault) else ""
    return "no such key" in text or "requires the key to exist" in text
