"""From an accept to a row of the feed, at steady rates.

One producer, one daemon, one process that writes the feed, Redis and Postgres share the two cores.
The time is from when a notification was to be accepted until another connection to Postgres sees
its row; it looks each 2 ms. The writer waits up to 50 ms (`feed.batch_ms`) for a batch of 500.
The first fifth is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgpack
import psycopg

from tests.bench.bench_run import BenchRun, ensure_deployment, patient
from tests.bench.checkout import HERE
from tests.bench.feeds.draining import writer_settings
from tests.bench.feeds.server import check_rows, feed_server
from tests.bench.figures import Figures, percentile
from tests.bench.gateways.events import Numbers
from tests.bench.gateways.producer import ACCEPT, producing
from tests.bench.processes import Running, daemons, running
from tests.support.servers import Server
from tests.support.wait import wait_until

_RATES = (200, 1000)
_USERS = 1000
_LOOK_S = 0.002
_START_S = 60
_PATIENCE_S = 60
_NEW = b"SELECT id, payload FROM feed_item WHERE id > %s ORDER BY id"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept at each rate."""
    with bench.server() as server:
        for _ in range(bench.runs):
            for rate in _RATES:
                took = _took_ms(server, rate, rate * bench.size(20, 3))
                for label, share in (("p50", 0.5), ("p99", 0.99)):
                    name = f"accept to row, {rate:,}/s: {label}"
                    figures.add(name, percentile(took, share), "ms")


def _took_ms(server: Server, rate: int, count: int) -> list[float]:
    """Return how long each event took; raise where one has no row."""
    server.flush()
    ensure_deployment(server.tcp_url)
    with (
        feed_server() as postgres,
        patient(server) as client,
        daemons(server.tcp_url) as (daemon,),
        running("galaxy_notify", "feed", of=HERE, **writer_settings(server, postgres)) as writer,
        postgres.client() as asked,
    ):
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", _START_S)
        wait_until(lambda: client.zcard("{gn:0}:feed_writers"), "the writer works", _START_S)
        numbers = Numbers(0, count, _USERS)
        with producing(server.tcp_url, ACCEPT, rate, numbers) as producer:
            took = [*_watched(asked, count, [daemon, writer, producer])]
        check_rows(postgres, count)
    return [ms for turn, ms in took if turn >= count // 5]


def _watched(
    client: psycopg.Connection[Any], count: int, processes: list[Running]
) -> Iterator[tuple[int, float]]:
    """Yield the number of each event and how long it took, in ms, when its row is seen.

    There is one writer, and it writes one batch at a time: rows are seen in their order.
    """
    newest, found, until = 0, 0, time.monotonic() + _PATIENCE_S
    while found < count:
        rows = client.execute(_NEW, [newest]).fetchall()
        now_us = time.time_ns() / 1000
        for _, payload in rows:
            data = msgpack.unpackb(payload)
            yield data["turn"], (now_us - data["at_us"]) / 1000
        if rows:
            newest, found = rows[-1][0], found + len(rows)
        for process in processes:
            process.alive()
        if time.monotonic() > until:
            raise RuntimeError(f"{found} of {count} events became rows")
        time.sleep(_LOOK_S)
