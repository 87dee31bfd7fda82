"""All workloads, in the order in which they run, with the time that each may take."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures


class Workload(NamedTuple):
    """A workload: its limits in seconds, and the unit of what its plot shows."""

    name: str
    title: str
    limit_s: int
    quick_s: int
    unit: str
    in_quick: bool = True

    def text(self) -> str:
        """Return what its module says of itself."""
        return " ".join((import_module(self.module).__doc__ or "").split())

    def measure(self, bench: BenchRun, figures: Figures) -> None:
        """Measure it."""
        import_module(self.module).measure(bench, figures)

    @property
    def module(self) -> str:
        """Return the name of its module."""
        return f"tests.bench.workloads.{self.name}"


WORKLOADS = (
    Workload("drain", "Draining a backlog", 900, 60, "routes/s"),
    Workload("roads", "Both roads of a route", 1800, 90, "routes/s"),
    Workload("parts", "Where the time goes", 300, 30, "µs/route"),
    Workload("peers", "Peers", 3600, 600, "jobs/s", in_quick=False),
    Workload("queues", "Job queues side by side", 3600, 600, "jobs/s", in_quick=False),
    Workload("durability", "Append-only files", 900, 60, "routes/s"),
    Workload("steady", "Steady arrivals, accepted beforehand", 3600, 120, "ms"),
    Workload("live", "Steady arrivals, a living producer", 2400, 120, "ms"),
    Workload("same_ms", "The same millisecond", 300, 30, "ms"),
    Workload("urgent", "Urgent beside bulk", 1200, 90, "ms"),
    Workload("latency", "Accepted now", 600, 60, "ms"),
    Workload("failures", "Retries and dead letters", 600, 45, "routes/s"),
    Workload("accept", "Accepting", 1200, 120, "notifications/s"),
    Workload("http", "Posting to the HTTP API", 900, 90, "requests/s"),
    Workload("rules", "Accepting with rules", 120, 30, "ms"),
    Workload("background", "Handing in and going on", 1200, 120, "% of calls", in_quick=False),
    Workload("listing", "Listing", 300, 45, "µs/notification"),
    Workload("replay", "Replay", 600, 30, "dead letters/s"),
    Workload("consumers", "Consumers", 900, 90, "events/s"),
    Workload("gateway", "The gateway: events to connections", 1800, 120, "ms"),
    Workload("crowds", "The gateway: many connections", 1800, 120, "KiB/connection"),
    Workload("socketio", "The gateway beside Socket.IO", 1800, 300, "events/s", in_quick=False),
    Workload("feed", "The feed: writing rows", 1800, 120, "rows/s"),
    Workload("feed_lists", "The feed: lists of 5,000,000 rows", 5400, 180, "ms"),
    Workload("feed_events", "The feed: from an accept to a row", 900, 120, "ms"),
    Workload("feed_bells", "The feed: bells on 5,000,000 rows", 3600, 240, "ms"),
    Workload("webhooks", "Webhooks", 900, 120, "deliveries/s"),
    Workload("emails", "E-mails", 900, 120, "e-mails/s"),
    Workload("workers", "Workers", 600, 45, "routes/s"),
    Workload("shards", "Shards", 600, 45, "routes/s"),
    Workload("idle", "Idle", 900, 60, "% of a core"),
    Workload("waiting", "Schedules that wait", 3600, 75, "µs/route"),
)
