"""Posting intents to the HTTP API over 64 connections, beside a FastAPI hello-world.

Each request is answered before the next one of its connection is sent, by one process of each
kind. The hello-world reads the same bodies with pydantic and does nothing with them; both run on
the same uvicorn with its fastest protocol that is installed, and without uvloop. Requests are sent
from a process of the same machine, which takes its part of the two cores from both alike. Every
request must be accepted at the first attempt, and Redis must have counted as many.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures, percentile
from tests.bench.hello import protocol
from tests.bench.http_rate import CONNECTIONS, Measured, hello, post_to_api

HELLO = "FastAPI hello-world"


def measure(bench: BenchRun, figures: Figures) -> None:
    """Post the same bodies to each, once a run."""
    requests = bench.size(10_000, 1_500)
    with bench.server() as server:
        for _ in range(bench.runs):
            for name, checkout in bench.versions("API"):
                _add(figures, name, post_to_api(server, requests, checkout))
            with hello() as found:
                _add(figures, HELLO, found.post(requests))
    figures.note(f"{requests:,} requests over {CONNECTIONS} connections")
    figures.note(f"the hello-world's protocol: {protocol()}")


def _add(figures: Figures, name: str, measured: Measured) -> None:
    figures.add(name, measured.posted.rate, "requests/s")
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        in_ms = percentile(measured.posted.seconds, share) * 1000
        figures.add(f"{name}: {label}", in_ms, "ms")
    figures.add(f"{name}: processor", measured.processor_us, "µs/request")
