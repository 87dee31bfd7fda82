"""The targets of the feed in Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.bench.target import Target


def _reads(what: str, where: str, bound: float | None) -> Iterator[Target]:
    for name in ("list", "unread", "counts"):
        figure = f"{name}{where}: p99"
        yield Target(f"feed: {name}, {what}: p99", "feed_lists", figure, bound, "", False, "ms")


def _reported(workload: str, figure: str, unit: str, *, at_least: bool = False) -> Target:
    return Target(f"feed: {figure}", workload, figure, None, "", at_least, unit)


FEED_TARGETS: Final = (
    Target("feed, batches of 500 with counts", "feed", "counted", 6000, unit="rows/s"),
    Target("feed, with counts: × bare unnest", "feed", "counted", 0.35, "bare unnest"),
    Target("feed, with counts: × COPY", "feed", "counted", None, "COPY"),
    Target("feed, the whole process", "feed", "the process", 6000, unit="rows/s"),
    Target("feed, the whole process: × bare unnest", "feed", "the process", 0.35, "bare unnest"),
    *_reads("of 200,000", "", 5),
    *_reads("of 200,000, beside a writer", ", beside a writer", None),
    _reported("feed_lists", "mark all: items", "items/s", at_least=True),
    *(
        _reported("feed_events", f"accept to row, {rate}/s: {label}", "ms")
        for rate in ("200", "1,000")
        for label in ("p50", "p99")
    ),
    *(
        _reported("feed_bells", f"accept to badge, {rate}/s: {label}", "ms")
        for rate in ("200", "1,000")
        for label in ("p50", "p99")
    ),
    *(
        _reported("feed_bells", f"{name} over HTTP: p99", "ms")
        for name in ("list", "unread", "counts")
    ),
)
