"""The targets, as data, and whether the figures of a run meet them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.bench.figures import Figures, ratio


class Target(NamedTuple):
    """One target: a figure, or its ratio to another one of the same run, and its bound."""

    what: str
    workload: str
    figure: str
    bound: float
    under: str = ""
    at_least: bool = True
    unit: str = "×"


class Verdict(NamedTuple):
    """What came of a target; the value is None where it was not measured."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met."""
        if self.value is None:
            return None
        at_least, bound = self.target.at_least, self.target.bound
        return self.value >= bound if at_least else self.value <= bound

    @property
    def asked(self) -> str:
        """Return the bound as it is shown."""
        return f"{'≥' if self.target.at_least else '≤'} {self.target.bound:,g} {self.target.unit}"

    @property
    def got(self) -> str:
        """Return the value as it is shown."""
        if self.value is None:
            return "not measured"
        digits = ",.0f" if self.value >= 1000 else ".3g"
        return f"{self.value:{digits}} {self.target.unit}"

    @property
    def word(self) -> str:
        """Return met, MISSED or a dash."""
        return {True: "met", False: "MISSED", None: "–"}[self.met]


_BEFORE = "the commit before"
_SINGLE, _OURS, _LATE = "single, 200 B", "galaxy-notify", "late at 50 % of the peak"

TARGETS = (
    Target(
        "drain, single recipient: × the sequential loop", "drain", _SINGLE, 35, "sequential loop"
    ),
    Target("drain, single recipient: × the commit before", "roads", "script", 1.8, _BEFORE),
    Target("drain, single recipient: × BullMQ", "peers", _OURS, 6, "BullMQ"),
    Target("drain, single recipient: × BullMQ, aimed at", "peers", _OURS, 10, "BullMQ"),
    Target("drain: × the best Python peer", "peers", _OURS, 15, "best Python peer"),
    Target(
        "drain, json encoder: × the commit before",
        "roads",
        "json encoder",
        1.3,
        f"{_BEFORE}, json encoder",
    ),
    Target(
        "server time per route: × XADD alone",
        "drain",
        f"{_SINGLE}: server",
        3.5,
        "floor: server",
        at_least=False,
    ),
    Target(
        "server time per route, to the end: × XADD alone",
        "roads",
        "script, to the end: server",
        3.8,
        "floor: server",
        at_least=False,
    ),
    Target(
        "server time per route, to the end: aimed at",
        "roads",
        "script, to the end: server",
        3.3,
        "floor: server",
        at_least=False,
    ),
    Target("drain, fan-out of 100: × single", "drain", "fan-out of 100, 200 B", 1.2, _SINGLE),
    Target(
        "append-only everysec: × without",
        "durability",
        "append-only everysec",
        0.8,
        "append-only off",
    ),
    Target(
        "append-only everysec, bytes per route: × XADD alone",
        "durability",
        "append-only everysec: file",
        1.55,
        "floor: file",
        at_least=False,
    ),
    Target("urgent beside bulk: p99 of push", "urgent", "push: p99", 50, "", False, "ms"),
    Target(
        "urgent beside bulk: push's share, weighed 4 to 1",
        "urgent",
        "push's share of the batches",
        79,
        unit="%",
    ),
    Target(f"{_LATE}: p99", "steady", f"{_LATE}: p99", 10, at_least=False, unit="ms"),
    Target(f"{_LATE}: p99.9", "steady", f"{_LATE}: p99.9", 50, at_least=False, unit="ms"),
    Target("accepted now, idle daemon: p50", "latency", "in the stream: p50", 3, "", False, "ms"),
    Target("accepted now, idle daemon: p99", "latency", "in the stream: p99", 10, "", False, "ms"),
    Target("accept, batch", "accept", "batch", 50_000, unit="notifications/s"),
    Target("accept, single: × bare SET", "accept", "single", 0.6, "bare SET round trips"),
    Target(
        "claim beside the largest schedule: × beside the smallest",
        "waiting",
        "claim, largest",
        1.3,
        "claim, smallest, beside the largest",
        at_least=False,
    ),
    Target(
        "publish beside the largest schedule: × beside the smallest",
        "waiting",
        "publish, largest",
        1.3,
        "publish, smallest, beside the largest",
        at_least=False,
    ),
    Target(
        "memory, waiting notification", "waiting", "memory, single recipient", 700, "", False, "B"
    ),
    Target(
        "memory, each further recipient",
        "waiting",
        "memory, each further recipient",
        250,
        "",
        False,
        "B",
    ),
    Target(
        "memory, waiting notification, compact hashes",
        "waiting",
        "memory, single recipient, listpack",
        700,
        "",
        False,
        "B",
    ),
    Target("daemon's memory", "idle", "memory after the last backlog", 80, "", False, "MB"),
    Target(
        "daemon's memory is flat: last backlog × first",
        "idle",
        "memory after the last backlog",
        1.05,
        "memory after the first backlog",
        at_least=False,
    ),
    Target("idle daemon", "idle", "idle: daemon", 0.5, "", False, "% of a core"),
    Target("idle commands", "idle", "idle: commands", 5, "", False, "per second"),
    Target("four workers: × two, 5 % being noise", "workers", "4 workers", 0.95, "2 workers"),
    Target(
        "accept, fan-out of 1,000 with preferences and cooldowns: × without",
        "rules",
        "preferences and cooldowns",
        10,
        "without rules",
        at_least=False,
    ),
)


def judge(results: Mapping[str, Figures]) -> Iterator[Verdict]:
    """Compare each target with what was measured."""
    for target in TARGETS:
        yield Verdict(target, _value(target, results.get(target.workload, Figures())))


def _value(target: Target, figures: Figures) -> float | None:
    if target.figure not in figures or (target.under and target.under not in figures):
        return None
    if target.under:
        return ratio(figures[target.figure], figures[target.under])
    return figures[target.figure].median
