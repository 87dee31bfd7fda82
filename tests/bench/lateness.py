"""How late events come: between the time that their recipient is named after and their entry."""

from __future__ import annotations

import time
from typing import NamedTuple

import redis

from tests.bench.bench_run import entries
from tests.bench.figures import Figures, percentile
from tests.bench.processes import Running
from tests.bench.stream import read

#: A rate is on time while no more than 1 % of the routes come later than this.
ON_TIME_MS = 50


class Lateness(NamedTuple):
    """How late the events of a trial came, in ms; `complete` where none was missing."""

    p50: float
    p99: float
    p999: float
    complete: bool

    @property
    def on_time(self) -> bool:
        """Tell whether the worker kept up."""
        return self.complete and self.p99 <= ON_TIME_MS

    def add_to(self, figures: Figures, name: str) -> None:
        """Add the percentiles under a name."""
        for label, value in (("p50", self.p50), ("p99", self.p99), ("p99.9", self.p999)):
            figures.add(f"{name}: {label}", value, "ms")


def lateness(client: redis.Redis, routes: int) -> Lateness:
    """Read the stream and compare the time of each entry with when it was to come.

    Raises `RuntimeError` for a route with two events; one without any is left to the caller.
    """
    late: list[int] = []
    members: set[str] = set()
    for entry in read(client):
        members.add(entry.member)
        late.append(entry.at_ms - int(entry.fields[b"user_id"][5:]))
    if len(members) != len(late):
        raise RuntimeError(f"{len(late)} events of {len(members)} routes")
    if not late:
        return Lateness(0, 0, 0, complete=False)
    p50, p99, p999 = (percentile(late, share) for share in (0.5, 0.99, 0.999))
    return Lateness(p50, p99, p999, len(late) == routes)


def wait_for_entries(
    client: redis.Redis, worker: Running, routes: int, until: float, spare_s: float
) -> None:
    """Wait until all events are there, at most until *spare_s* after *until* (epoch seconds)."""
    time.sleep(max(0.0, until - time.time()))
    while entries(client) < routes and time.time() < until + spare_s:
        worker.alive()
        time.sleep(0.02)
