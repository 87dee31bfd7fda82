"""The cost of an append-only file at each of its settings, measured on servers in turns.

At each setting the same server also does XADD alone. That pays for the file too, so it says what
is left to lose: the ratio to a drain without a file also counts what no program can avoid.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tests.bench.bench_run import BenchRun, patient
from tests.bench.drain import add_work, drain_filled, drain_floor
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.support.servers import Server
from tests.support.wait import wait_until

_KINDS = {
    "append-only off": {"appendonly": "no"},
    "append-only everysec": {"appendonly": "yes", "appendfsync": "everysec"},
    "append-only always": {"appendonly": "yes", "appendfsync": "always"},
}
_BYTES = "B/route"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog on each server, once a run, and append events beside it."""
    load = Load(bench.size(100_000, 20_000))
    with ExitStack() as stack:
        servers = {
            kind: stack.enter_context(bench.server(**options)) for kind, options in _KINDS.items()
        }
        for _ in range(bench.runs):
            for kind, server in servers.items():
                _drain(figures, kind, server, load)
                _append(figures, f"floor, {kind}", server, load.routes * 2)


def _drain(figures: Figures, kind: str, server: Server, load: Load) -> None:
    server.flush()
    fill(server.tcp_url, load)
    before = _file_bytes(server)
    add_work(figures, kind, drain_filled(server, load.routes))
    _add_bytes(figures, kind, _file_bytes(server) - before, load.routes)
    server.flush()


def _append(figures: Figures, name: str, server: Server, events: int) -> None:
    """Append events and do nothing else."""
    before = _file_bytes(server)
    add_work(figures, name, drain_floor(server, events))
    _add_bytes(figures, name, _file_bytes(server) - before, events)
    server.flush()


def _add_bytes(figures: Figures, name: str, written: int, routes: int) -> None:
    if written:
        figures.add(f"{name}: file", written / routes, _BYTES)


def _file_bytes(server: Server) -> int:
    """Return how large the append-only file is, once all was written; 0 without one."""
    with patient(server) as client:

        def persistence() -> dict[str, Any]:
            found: Any = client.info("persistence")
            return dict(found)

        wait_until(lambda: not persistence().get("aof_buffer_length"), "the file is written")
        return int(persistence().get("aof_current_size", 0))
