"""Watch a process work: routes a second, and whose processor time each of them took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from tests.bench.processes import Running

_LOOK_EVERY_S = 0.005
_PATIENCE_S = 60


class Work(NamedTuple):
    """What a process did: microseconds are of processor time per route, of server and workers."""

    rate: float
    seconds: float
    server_us: float
    worker_us: float
    scripts: float


class _Look(NamedTuple):
    done: int
    at: float
    server_s: float
    workers_s: float
    scripts: int


def watch(
    client: redis.Redis, workers: Sequence[Running], done: Callable[[], int], until: int
) -> Work:
    """Wait until so much is done; the clock starts with the first that is seen done."""
    started = time.monotonic()
    while not done():
        _check(workers, started)
    first = last = _look(client, workers, done())
    moved = time.monotonic()
    while last.done < until:
        _check(workers, moved)
        count = done()
        if count != last.done:
            moved = time.monotonic()
            last = last._replace(done=count, at=time.perf_counter())
    return _work(first, _look(client, workers, last.done)._replace(at=last.at))


def server_cpu_s(client: redis.Redis) -> float:
    """Return the processor time of a server, all its threads."""
    cpu: Any = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def commands(client: redis.Redis) -> dict[str, Any]:
    """Return what INFO tells of each command."""
    told: Any = client.info("commandstats")
    return {str(name).removeprefix("cmdstat_"): value for name, value in told.items()}


def _work(first: _Look, last: _Look) -> Work:
    routes = max(1, last.done - first.done)
    seconds = max(1e-9, last.at - first.at)
    return Work(
        rate=routes / seconds,
        seconds=seconds,
        server_us=(last.server_s - first.server_s) / routes * 1e6,
        worker_us=(last.workers_s - first.workers_s) / routes * 1e6,
        scripts=(last.scripts - first.scripts) / routes * 1000,
    )


def _look(client: redis.Redis, workers: Sequence[Running], done: int) -> _Look:
    scripts = commands(client).get("evalsha", {"calls": 0})["calls"]
    workers_s = sum(worker.cpu_s() for worker in workers)
    return _Look(done, time.perf_counter(), server_cpu_s(client), workers_s, scripts)


def _check(workers: Sequence[Running], moved: float) -> None:
    for worker in workers:
        worker.alive()
    if time.monotonic() - moved > _PATIENCE_S:
        raise RuntimeError(f"nothing moved for {_PATIENCE_S} s")
    time.sleep(_LOOK_EVERY_S)
