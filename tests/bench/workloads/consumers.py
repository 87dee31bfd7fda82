"""Consumers of a group at full rate, one event after the other and in batches of up to 500.

The handlers do nothing. Beside them redis-py only reads and acknowledges, 64 events at a time.
In the end every event must have been handled, and none may be pending.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.consume import BATCHES, can_batches
from tests.bench.consuming import bare, consumed
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.load import Load

_UNIT = "events/s"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Read one stream with a new group each time."""
    # At most as many as a group keeps marks of.
    events = bench.size(90_000, 10_000)
    with bench.server() as server:
        drain(server, Load(events))
        for _ in range(bench.runs):
            figures.add("bare reading", bare(server, events), _UNIT)
            for name, checkout in bench.versions("1 consumer"):
                figures.add(name, consumed(server, events, of=checkout), _UNIT)
            figures.add("2 consumers", consumed(server, events, 2), _UNIT)
            if can_batches():
                rate = consumed(server, events, way=BATCHES)
                figures.add("1 consumer, run_batches", rate, _UNIT)
