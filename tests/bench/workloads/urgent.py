"""Urgent beside bulk: push and bulk share one daemon by weight, with a backlog on bulk.

Push routes are accepted at a steady rate: alone for a while, then beside bulk. They are late from
their due time until their entry in the stream; *from the call*: from when the producer was to
submit the intent. Afterwards both channels have a backlog, and the stream shows the share of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from galaxy_notify.operations.pausing import pause, resume
from tests.bench.bench_run import BenchRun, deployment, entries, patient, total
from tests.bench.drain import wait_for_workers
from tests.bench.figures import Figures, percentile
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import Running, daemons, running
from tests.bench.stream import Entry, check_each_once, read
from tests.support.servers import Server

_CHANNELS, _WEIGHTS = ("push", "bulk"), ("push=4", "bulk=1")
_SETTINGS = {"WORKER__CHANNELS": ",".join(_CHANNELS), "WORKER__WEIGHTS": ",".join(_WEIGHTS)}
_RATE = 500
# More than are accepted while bulk has a backlog: the producer is ended before.
_MOST = _RATE * 3600
# A producer that starts is behind for a while; what it then catches up with says nothing.
_START, _ALONE = _RATE * 2, _RATE * 2
_STILL_S, _LOOK_EVERY_S = 60, 0.02
_PAGE = 10_000


def measure(bench: BenchRun, figures: Figures) -> None:
    """Let push routes arrive beside the backlog, and then let both channels have one."""
    bulk, each = bench.size(1_000_000, 50_000), bench.size(512 * 100, 512 * 20)
    with bench.server() as server:
        for _ in range(bench.runs):
            _beside(figures, server, bulk)
            figures.add("push's share of the batches", _share(server, each), "%")
    figures.note(f"{bulk:,} due routes on bulk, {_RATE} intents a second for push")
    figures.note(f"the share: {each:,} due routes on each channel")


def _beside(figures: Figures, server: Server, bulk: int) -> None:
    server.flush()
    url = server.tcp_url
    with deployment(url, worker={"channels": _CHANNELS}) as place, patient(server) as client:
        pause(place, "bulk")
        fill(url, Load(bulk, channel="bulk"))
        with daemons(url, _SETTINGS) as (worker,):
            wait_for_workers(client)
            with running("tests.bench.produce", url, str(_RATE), str(_MOST)) as producer:
                both = (worker, producer)
                _wait_while(client, both, lambda: entries(client) < _START + _ALONE)
                resume(place, "bulk")
                _wait_while(client, both, lambda: bool(client.zcard("{gn:0}:schedule:bulk")))
            _wait_while(client, (worker,), lambda: entries(client) < total(client, "accepted"))
        check_each_once(client, total(client, "accepted"))
        _add_results(figures, client)


def _add_results(figures: Figures, client: redis.Redis) -> None:
    """Add how late push routes were alone, and between events of bulk."""
    alone: list[Entry] = []
    beside: list[Entry] = []
    since_bulk: list[Entry] = []
    bulk: list[int] = []
    for entry in read(client):
        if entry.channel == "bulk":
            bulk.append(entry.at_ms)
            beside += since_bulk
            since_bulk.clear()
        else:
            (since_bulk if bulk else alone).append(entry)
    if not beside:
        raise RuntimeError("no push route came while bulk had a backlog")
    _add_lateness(figures, client, "push alone", alone[_START:])
    _add_lateness(figures, client, "push", beside)
    figures.add("push routes beside bulk", len(beside), "routes")
    figures.add("bulk, beside push", len(bulk) / (bulk[-1] - bulk[0]) * 1000, "routes/s")


def _add_lateness(figures: Figures, client: redis.Redis, name: str, published: list[Entry]) -> None:
    called = [int(entry.fields[b"user_id"][5:]) for entry in published]
    for label, since in ((name, _dues(client, published)), (f"{name}, from the call", called)):
        late = [entry.at_ms - at for entry, at in zip(published, since, strict=True)]
        for percent, share in (("p50", 0.5), ("p99", 0.99), ("latest", 1.0)):
            figures.add(f"{label}: {percent}", percentile(late, share), "ms")


def _dues(client: redis.Redis, published: list[Entry]) -> list[int]:
    """Return the due time of each, in epoch ms, as its state has it."""
    dues: list[int] = []
    for first in range(0, len(published), _PAGE):
        pipeline = client.pipeline(transaction=False)
        for entry in published[first : first + _PAGE]:
            notification_id, _, route_id = entry.member.partition("/")
            pipeline.hget(f"{{gn:0}}:notification:{notification_id}", route_id)
        states: Any = pipeline.execute()
        dues += [int(state[15:28]) for state in states]
    return dues


def _share(server: Server, each: int) -> float:
    """Return push's share, in %, of what was published while both channels had due routes."""
    server.flush()
    url = server.tcp_url
    with deployment(url, worker={"channels": _CHANNELS}) as place, patient(server) as client:
        for channel in _CHANNELS:
            pause(place, channel)
            fill(url, Load(each, channel=channel))
        with daemons(url, _SETTINGS) as (worker,):
            wait_for_workers(client)
            resume(place, "bulk")
            resume(place, "push")
            _wait_while(client, (worker,), lambda: entries(client) < 2 * each)
        check_each_once(client, 2 * each)
        order = [entry.channel for entry in read(client)]
    # Full batches: the share of the routes is the share of the batches.
    first, last = order.index("push"), len(order) - order[::-1].index("push")
    return order[first:last].count("push") / (last - first) * 100


def _wait_while(
    client: redis.Redis, processes: tuple[Running, ...], goes_on: Callable[[], bool]
) -> None:
    """Wait until it is over; raise if a process has ended, or if nothing moves any more."""
    seen, moved = -1, time.monotonic()
    while goes_on():
        for process in processes:
            process.alive()
        if (now := entries(client)) != seen:
            seen, moved = now, time.monotonic()
        if time.monotonic() - moved > _STILL_S:
            raise RuntimeError(f"nothing moved for {_STILL_S} s")
        time.sleep(_LOOK_EVERY_S)
