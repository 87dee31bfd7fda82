"""What breaks first as a deployment grows: memory by its retention, marks, and the streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from statistics import fmean
from typing import Final

from galaxy_notify.model.wording import duration, size
from galaxy_notify.operations.finding import AVAILABILITY, LOST, TWICE, Finding
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.memory import MemoryUse
from galaxy_notify.redis_inspect.pace import Pace
from galaxy_notify.redis_state.group import MARKS_MAX
from galaxy_notify.redis_state.shared_settings import SharedSettings

#: With fewer events nothing can be said of a rate; with fewer notifications nothing of their size.
_FEWEST: Final = 500
_FEWEST_IN_STREAMS: Final = 100
_FEWEST_SAMPLES: Final = 50
_FULL: Final = 0.8
#: A gateway that restarts is away for about this long.
_AWAY_S: Final = 60
#: A delivery is taken over after a minute, and repeated by a gateway that was away for longer.
_REPEATED_S: Final = 600
_MARK_BYTES: Final = 160
#: A share of the memory from here on is a multiple of it.
_TIMES: Final = 2
#: What is kept for this much longer than `retention.settled_ms` has another retention as well.
_LONGER: Final = 1.1
#: A rate above this has no decimals.
_WHOLE: Final = 10
#: The limit that is recommended, and the share that makes it worth a change.
_COMPACT_BYTES: Final = 512
_WORTH: Final = 0.2
_MOST: Final = 0.9


def scale_findings(
    status: DeploymentStatus,
    shared: SharedSettings,
    pace: Pace,
    marks: Mapping[tuple[int, str], int],
) -> Iterator[Finding]:
    """Judge what the present rate leads to; nothing where there is too little to judge by."""
    use = status.memory
    if use is not None:
        yield from _hashes(use, status.server.version)
    if status.totals["published"] < _FEWEST or pace.events < _FEWEST_IN_STREAMS:
        return
    if pace.kept_bytes:
        yield _retention(pace, use, shared)
    if shared.trim != "none":
        yield _stream_length(pace, shared)
    for (shard, group), number in marks.items():
        if number:
            yield _marks(pace, number, f"group {group} of shard {shard}")


def _retention(pace: Pace, use: MemoryUse | None, shared: SharedSettings) -> Finding:
    """Judge what is kept once the present rate has held for as long as the retention."""
    grown = pace.kept_bytes
    what = (
        f"at {_rate(pace.per_second)} (the last {_seconds(pace.span_ms)}), what is kept for"
        f" {_seconds(pace.keep_ms)} after publishing ({size(pace.bytes_each)} each) grows to"
        f" {size(grown)}"
    )
    if use is None or use.used is None or not use.limit:
        means = "whether that fits is unknown: this user cannot read it, or the server has no limit"
        return Finding("unknown", "retention", what, means, "compare it with maxmemory")
    beside, room = max(0, use.used - (use.kept or 0)), _FULL * use.limit
    whole = beside + grown
    owner = "maxmemory" if use.is_limit_set else "the host's memory, as no maxmemory is set"
    share = whole / use.limit
    times = f"{share:.0%} of" if share < _TIMES else f"{share:,.0f} ×"
    what += f"; with the rest {size(whole)}, {times} {owner} ({size(use.limit)})"
    if whole < room:
        return Finding("ok", "retention", what)
    todo = f"raise maxmemory to {size(whole / _FULL)}"
    if (fits := (room - beside) / grown) > 0:
        is_longer = pace.keep_ms > _LONGER * shared.settled_ms
        name = "retention.settled_ms" + " and retention.idempotency_ms" * is_longer
        todo += f", or lower {name} to keep it for {_seconds(pace.keep_ms * fits)}"
    return Finding("warning", "retention", what, _end(pace, use, whole), todo, AVAILABILITY)


def _end(pace: Pace, use: MemoryUse, whole: float) -> str:
    """Return when the memory is full, and what happens then."""
    used, limit = use.used or 0, use.limit or 0
    then = "nothing is accepted or published"
    if not use.is_limit_set:
        then = "the kernel ends Redis"
    if not used < limit < whole:
        return f"little is left for a peak; when memory is full, {then}"
    left_s = (limit - used) / (pace.per_second * pace.bytes_each)
    return f"memory is full in about {_seconds(left_s * 1000)}; then {then}"


def _stream_length(pace: Pace, shared: SharedSettings) -> Finding:
    held_s = shared.max_len / pace.busiest_per_second
    what = (
        f"gateway.max_len {shared.max_len:,} holds {duration(held_s * 1000)} of events at"
        f" {_rate(pace.busiest_per_second)} on the busiest shard"
    )
    if held_s >= _AWAY_S:
        return Finding("ok", "max_len", what)
    wanted = _rounded_up(pace.busiest_per_second * _AWAY_S)
    todo = f"raise gateway.max_len to {wanted:,} for a minute, while memory allows"
    if shared.trim == "always":
        means = f"a gateway that is away for {duration(held_s * 1000)} misses events"
        return Finding("warning", "max_len", what, means, todo, LOST)
    means = f"a group that does not read for {duration(2 * held_s * 1000)} stops publishing"
    return Finding("warning", "max_len", what, means, todo, AVAILABILITY)


def _marks(pace: Pace, number: int, group: str) -> Finding:
    """Judge a group by the default of `marks_max`, unless it is seen to remember more."""
    held_s = max(number, MARKS_MAX) / pace.busiest_per_second
    what = (
        f"{group} remembers {max(number, MARKS_MAX):,} handled events (marks_max):"
        f" {duration(held_s * 1000)} at {_rate(pace.busiest_per_second)}"
    )
    if held_s >= _REPEATED_S:
        return Finding("ok", "marks", what)
    means = "an event that is delivered again after that is handled twice"
    wanted = _rounded_up(pace.busiest_per_second * _REPEATED_S)
    todo = f"raise marks_max of its consumers to {wanted:,} ({size(_MARK_BYTES * wanted)} a shard)"
    return Finding("warning", "marks", what, means, todo, TWICE)


def _hashes(use: MemoryUse, version: str) -> Iterator[Finding]:
    """Recommend compact hashes where they save memory; the sizes show whether they are in use."""
    samples = [one for one in use.samples if one.record]
    fits = [one for one in samples if one.record <= _COMPACT_BYTES]
    if len(samples) < _FEWEST_SAMPLES or len(fits) < _MOST * len(samples):
        return
    now, then = fmean(one.size for one in fits), fmean(one.compact for one in fits)
    if 1 - then / now < _WORTH:
        return
    option = "ziplist" if version.startswith("6.") else "listpack"
    what = f"a notification takes {size(now)}, as a compact hash about {size(then)}"
    means = f"{1 - then / now:.0%} of {size(use.waiting + (use.kept or 0))} could be saved"
    todo = (
        f"if Redis serves only galaxy-notify: CONFIG SET hash-max-{option}-value {_COMPACT_BYTES},"
        f" CONFIG SET hash-max-{option}-entries 16, and the same in its configuration"
    )
    yield Finding("ok", "hashes", what, means, todo)


def _rate(per_second: float) -> str:
    if per_second >= _WHOLE:
        return f"{per_second:,.0f} events/s"
    return f"{per_second:.2g} events/s"


def _seconds(ms: float) -> str:
    """Return a duration in whole seconds: what a retention is read as misses some ms."""
    return duration(max(1000, round(ms, -3)))


def _rounded_up(number: float) -> int:
    """Return the next number that has two digits and zeros."""
    unit: int = 10 ** max(0, len(str(ceil(number))) - 2)
    return ceil(number / unit) * unit
