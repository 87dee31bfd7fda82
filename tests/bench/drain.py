"""How fast a backlog is drained: by daemons, by the sequential loop, and by XADD alone."""

from __future__ import annotations

from collections.abc import Callable

import redis

from galaxy_notify.operations.pausing import pause, resume
from tests.bench import floor, sequential
from tests.bench.bench_run import deployment, entries, patient
from tests.bench.figures import Figures
from tests.bench.fill import Load, fill
from tests.bench.processes import daemons, running
from tests.bench.watch import Work, watch
from tests.support.servers import Server
from tests.support.wait import wait_until

_START_S = 30


def drain(server: Server, load: Load) -> Work:
    """Let one daemon drain a backlog."""
    server.flush()
    fill(server.tcp_url, load)
    return drain_filled(server, load.notifications * load.fan_out)


def drain_filled(server: Server, routes: int) -> Work:
    """Let one daemon publish so many routes that are due."""
    with patient(server) as client, daemons(server.tcp_url) as workers:
        before = entries(client)
        return watch(client, workers, lambda: entries(client) - before, routes)


def drain_together(server: Server, load: Load, workers: int, shards: int = 1) -> Work:
    """Let daemons drain a backlog; the clock starts when all of them are ready."""
    server.flush()
    with deployment(server.tcp_url, shards) as place, patient(server) as client:
        pause(place, "push")
        fill(server.tcp_url, load)
        more = {"WORKER__SHARDS": str(shards), "WORKER__POLL_INTERVAL_MS": "100"}
        with daemons(server.tcp_url, more, workers) as running_ones:
            wait_until(
                lambda: _living(client, shards) >= workers * shards, "all daemons work", _START_S
            )
            resume(place, "push")
            routes = load.notifications * load.fan_out
            return watch(client, running_ones, lambda: entries(client, shards), routes)


def drain_sequential(server: Server, routes: int, text_bytes: int = 200) -> Work:
    """Let the sequential loop drain a backlog."""
    server.flush()
    with patient(server) as client:
        sequential.seed(client, routes, text_bytes)
        with running("tests.bench.sequential", server.tcp_url, str(routes)) as process:
            return watch(client, [process], _length(client, sequential.STREAM), routes)


def drain_floor(server: Server, routes: int, text_bytes: int = 200) -> Work:
    """Append events and do nothing else."""
    server.flush()
    command = ["tests.bench.floor", server.tcp_url, str(routes), str(text_bytes)]
    with patient(server) as client, running(*command) as process:
        return watch(client, [process], _length(client, floor.STREAM), routes)


def add_work(figures: Figures, name: str, work: Work) -> None:
    """Add what a drain showed, under the name of its kind."""
    figures.add(name, work.rate, "routes/s")
    figures.add(f"{name}: server", work.server_us, "µs/route")
    figures.add(f"{name}: worker", work.worker_us, "µs/route")


def _length(client: redis.Redis, stream: str) -> Callable[[], int]:
    return lambda: int(str(client.xlen(stream)))


def _living(client: redis.Redis, shards: int) -> int:
    return sum(int(str(client.zcard(f"{{gn:{shard}}}:workers"))) for shard in range(shards))
