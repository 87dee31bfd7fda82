"""How fast a backlog is drained: by daemons, by the sequential loop, and by XADD alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import redis

from galaxy_notify.operations.pausing import pause, resume
from tests.bench import floor, sequential
from tests.bench.bench_run import deployment, entries, patient
from tests.bench.checkout import HERE, Checkout
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import daemons, running
from tests.bench.stream import check_each_once, newest
from tests.bench.watch import Work, watch
from tests.support.servers import Server
from tests.support.wait import wait_until

_START_S = 30


class Daemon(NamedTuple):
    """Which daemon drains: with which settings, and of which checkout."""

    settings: Mapping[str, str] = {}
    checkout: Checkout = HERE


_USUAL = Daemon()


def drain(server: Server, load: Load, daemon: Daemon = _USUAL) -> Work:
    """Let one daemon drain a backlog."""
    server.flush()
    fill(server.tcp_url, load, daemon.checkout)
    return drain_filled(server, load.routes, daemon)


def drain_filled(server: Server, routes: int, daemon: Daemon = _USUAL) -> Work:
    """Let one daemon publish so many routes that are due, each of them once."""
    with patient(server) as client:
        before, last = entries(client), newest(client)
        with daemons(server.tcp_url, daemon.settings, of=daemon.checkout) as workers:
            work = watch(client, workers, lambda: entries(client) - before, routes)
        check_each_once(client, routes, last)
    return work


def drain_together(server: Server, load: Load, workers: int, shards: int = 1) -> Work:
    """Let daemons drain a backlog; the clock starts when all of them are ready."""
    server.flush()
    shared = {"shards": shards}
    with deployment(server.tcp_url, worker=shared) as place, patient(server) as client:
        pause(place, "push")
        fill(server.tcp_url, load)
        more = {"WORKER__SHARDS": str(shards), "WORKER__POLL_INTERVAL_MS": "100"}
        with daemons(server.tcp_url, more, workers) as running_ones:
            wait_for_workers(client, workers, shards)
            resume(place, "push")
            work = watch(client, running_ones, lambda: entries(client, shards), load.routes)
        check_each_once(client, load.routes, shards=shards)
    return work


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


def wait_for_workers(client: redis.Redis, workers: int = 1, shards: int = 1) -> None:
    """Wait until so many daemons work on each shard."""

    def living() -> int:
        return sum(int(str(client.zcard(f"{{gn:{shard}}}:workers"))) for shard in range(shards))

    wait_until(lambda: living() >= workers * shards, "all daemons work", _START_S)


def _length(client: redis.Redis, stream: str) -> Callable[[], int]:
    return lambda: int(str(client.xlen(stream)))
