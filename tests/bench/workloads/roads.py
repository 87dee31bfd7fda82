"""Both roads of a route: one script that publishes, or claim and settle, beside XADD alone.

Each drain is followed by the same one of the commit before, which publishes its own backlog.

*To the end* is a drain with a short retention. It counts all processor time of the server from the
moment that the routes are due until the last hash of a notification is gone, without what the same
server and daemon take while they rest. Expired keys have to be deleted, and that comes later.
"""

from __future__ import annotations

import time
from typing import Any

import redis

from galaxy_notify.operations.pausing import pause, resume
from tests.bench.bench_run import BenchRun, deployment, patient
from tests.bench.checkout import HERE
from tests.bench.drain import Daemon, add_work, drain, drain_floor, wait_for_workers
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import daemons
from tests.bench.stream import check_each_once
from tests.bench.watch import server_cpu_s
from tests.support.servers import Server

_JSON = {"GATEWAY__ENCODER": "json"}
_DAEMONS = {
    "script": Daemon(),
    "leased": Daemon({"WORKER__PUBLISH": "leased"}),
    "json encoder": Daemon(_JSON),
}
_RETENTION = {"settled_ms": 1000, "idempotency_ms": 0}
_RETENTION_VARIABLES = {
    f"RETENTION__{name.upper()}": str(value) for name, value in _RETENTION.items()
}
_PATIENCE_S = 120
# Each look costs the server time: one that takes no part of the drain looks rarely.
_LOOK_EVERY_S = 0.05
#: More keys than a shard has beside its notifications.
_OTHER_KEYS = 50


def measure(bench: BenchRun, figures: Figures) -> None:
    """Drain the same backlog on each road, as it is and then to the end, once a run."""
    load, rest_s = Load(bench.size(100_000, 10_000)), bench.size(5, 1)
    with bench.server() as server:
        for _ in range(bench.runs):
            add_work(figures, "floor", drain_floor(server, load.routes * 2))
            for name, daemon in _DAEMONS.items():
                for version, checkout in bench.versions(name):
                    _add_drain(figures, version, server, load, daemon._replace(checkout=checkout))
                _to_the_end(figures, name, server, load, daemon, rest_s)
    figures.note(f"to the end: kept for {_RETENTION['settled_ms']} ms after publishing")


def _add_drain(figures: Figures, name: str, server: Server, load: Load, daemon: Daemon) -> None:
    """Drain once; an earlier version may not have the road, and its daemon then ends at once."""
    try:
        add_work(figures, name, drain(server, load, daemon))
    except RuntimeError as error:
        if daemon.checkout == HERE:
            raise
        print(error)
        figures.note(f"{name}: not measured: its daemon does not run with these settings")


def _to_the_end(
    figures: Figures, name: str, server: Server, load: Load, daemon: Daemon, rest_s: float
) -> None:
    server.flush()
    settings = {**daemon.settings, **_RETENTION_VARIABLES}
    with (
        deployment(server.tcp_url, retention=_RETENTION) as place,
        patient(server) as client,
    ):
        pause(place, "push")
        fill(server.tcp_url, load)
        with daemons(server.tcp_url, settings):
            wait_for_workers(client)
            time.sleep(1)  # what starting costs is not what resting costs
            rests = _used_while_resting(client, rest_s)
            before, started = server_cpu_s(client), time.perf_counter()
            resume(place, "push")
            _wait_until_gone(client)
            used = server_cpu_s(client) - before - rests * (time.perf_counter() - started)
        check_each_once(client, load.routes)
    figures.add(f"{name}, to the end: server", used / load.routes * 1e6, "µs/route")
    figures.add(f"{name}: server at rest", rests * 100, "% of a core")


def _used_while_resting(client: redis.Redis, seconds: float) -> float:
    """Return the processor time that the server takes a second, while a paused daemon waits."""
    before, started = server_cpu_s(client), time.perf_counter()
    while time.perf_counter() < started + seconds:
        client.dbsize()
        time.sleep(_LOOK_EVERY_S)
    return (server_cpu_s(client) - before) / (time.perf_counter() - started)


def _wait_until_gone(client: redis.Redis) -> None:
    end = time.perf_counter() + _PATIENCE_S
    while not _are_gone(client):
        if time.perf_counter() > end:
            raise RuntimeError(f"notifications were still there after {_PATIENCE_S} s")
        time.sleep(_LOOK_EVERY_S)


def _are_gone(client: redis.Redis) -> bool:
    """Look whether no notification is left; expired ones count until they are deleted."""
    size: Any = client.dbsize()
    return size <= _OTHER_KEYS and not client.keys("{gn:0}:notification:*")
