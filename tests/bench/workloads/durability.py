"""The cost of an append-only file at each of its settings, measured on servers in turns."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tests.bench.bench_run import BenchRun, patient
from tests.bench.drain import add_work, drain_filled, drain_floor, drain_sequential
from tests.bench.figures import Figures
from tests.bench.fill import Load, fill
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
                loop = drain_sequential(server, load.routes // 50)
                add_work(figures, f"sequential loop, {kind}", loop)
                server.flush()
            _append(figures, servers["append-only everysec"], load.routes)


def _drain(figures: Figures, kind: str, server: Server, load: Load) -> None:
    server.flush()
    fill(server.tcp_url, load)
    before = _file_bytes(server)
    add_work(figures, kind, drain_filled(server, load.routes))
    if written := _file_bytes(server) - before:
        figures.add(f"{kind}: file", written / load.routes, _BYTES)


def _append(figures: Figures, server: Server, events: int) -> None:
    """Append events and do nothing else."""
    before = _file_bytes(server)
    drain_floor(server, events)
    figures.add("floor: file", (_file_bytes(server) - before) / events, _BYTES)
    server.flush()


def _file_bytes(server: Server) -> int:
    """Return how large the append-only file is, once all was written; 0 without one."""
    with patient(server) as client:

        def persistence() -> dict[str, Any]:
            found: Any = client.info("persistence")
            return dict(found)

        wait_until(lambda: not persistence().get("aof_buffer_length"), "the file is written")
        return int(persistence().get("aof_current_size", 0))
