"""The cost of an append-only file at each of its settings, measured on servers in turns."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench.bench_run import BenchRun
from tests.bench.drain import add_work, drain, drain_sequential
from tests.bench.figures import Figures
from tests.bench.fill import Load

_KINDS = {
    "append-only off": {"appendonly": "no"},
    "append-only everysec": {"appendonly": "yes", "appendfsync": "everysec"},
    "append-only always": {"appendonly": "yes", "appendfsync": "always"},
}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog on each server, once a run."""
    routes = bench.size(100_000, 20_000)
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(bench.server(**options)) for kind, options in _KINDS.items()
        }
        for _ in range(bench.runs):
            for kind, server in servers.items():
                add_work(figures, kind, drain(server, Load(routes)))
                loop = drain_sequential(server, routes // 50)
                add_work(figures, f"sequential loop, {kind}", loop)
                server.flush()
