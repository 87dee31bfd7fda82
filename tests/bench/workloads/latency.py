"""The time from an accept to the stream, with an otherwise idle daemon.

It is accepted by this checkout in both cases; the daemon is this one's, or the commit before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import redis

from galaxy_notify import Notifier
from tests.bench.bench_run import STREAM, BenchRun, ensure_deployment, patient
from tests.bench.checkout import Checkout
from tests.bench.figures import Figures, percentile
from tests.bench.load import Load
from tests.bench.processes import daemons
from tests.support.servers import Server
from tests.support.wait import wait_until


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept one at a time, with pauses, and wait for each at the end of the stream."""
    with bench.server() as server:
        for _ in range(bench.runs):
            for version, checkout in bench.versions("in the stream"):
                took = sorted(_latencies(server, bench.size(500, 100), checkout))
                for label, share in (("p50", 0.5), ("p99", 0.99)):
                    figures.add(f"{version}: {label}", percentile(took, share), "ms")
            figures.note("from before the accept until a blocked reader has the event")


def _latencies(server: Server, samples: int, checkout: Checkout) -> Iterator[float]:
    server.flush()
    ensure_deployment(server.tcp_url)
    random = Random(1)
    with (
        patient(server) as client,
        daemons(server.tcp_url, of=checkout),
        Notifier.from_url(server.tcp_url) as notifier,
    ):
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", 30)
        last = "0"
        for number, intent in enumerate(Load(samples + 5).intents()):
            time.sleep(0.02 + random.random() * 0.03)
            started = time.perf_counter()
            notifier.accept(intent)
            last = _next(client, last)
            if number >= 5:
                yield (time.perf_counter() - started) * 1000


def _next(client: redis.Redis, last: str) -> str:
    answer: Any = client.xread({STREAM: last}, block=10_000)
    if not answer:
        raise RuntimeError("the event did not come within 10 s")
    ((_, entries),) = answer
    return str(entries[-1][0].decode())
