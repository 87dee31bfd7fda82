"""What many connections cost, and what happens if a gateway with 5,000 of them is killed.

Memory is what one gateway process holds more after so many clients have connected, each with a user
of its own, and a keep-alive was not yet due; it is divided by their number. In the storm 2 gateways
run, one with all the clients, and 1,000 events a second go on. Its process is killed. All clients
connect to the other one at once, where browsers would wait for 1 to 5 s; the limit of new
connections a second is lifted. *All back* is the time from the kill until the last client was
greeted, and *Redis busy* its processor time in between. Each event must arrive once; those that
were in the hands of the process that died are given to the other one after 5 s.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures
from tests.bench.gateways import trials
from tests.bench.gateways.sides import Gateways


def measure(bench: BenchRun, figures: Figures) -> None:
    """Connect crowds, and chase one from one process to the other."""
    side, rate = Gateways(), bench.size(1000, 100)
    with bench.server() as server:
        for _ in range(bench.runs):
            for connections in (2000, 10_000) if not bench.quick else (500,):
                used = trials.idle_memory(side, server, connections)
                figures.add(f"idle, {connections:,} connections", used, "KiB/connection")
            found = trials.storm(side, server, bench.size(5000, 200), rate)
            figures.add("storm: all back", found.until_all_back, "s")
            figures.add("storm: back, p50", found.back_p50, "s")
            figures.add("storm: back, p99", found.back_p99, "s")
            figures.add("storm: latency of events, p99.9", found.late_p999, "s")
            figures.add("storm: Redis busy", found.server_busy, "% of a core")
            figures.add("storm: resets", found.resets, "clients")
