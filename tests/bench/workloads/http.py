"""Posting intents to the HTTP API over 64 connections, beside a FastAPI hello-world.

Each request is answered before the next one of its connection is sent, by one process of each
kind. The hello-world reads the same bodies with pydantic and does nothing with them. It runs on the
same uvicorn without uvloop, with each of its HTTP protocols: h11 is what `pip install fastapi
uvicorn` gives, and what the target was set beside; httptools is what the API uses. Requests are
sent from a process of the same machine, which takes its part of the two cores from all alike. Every
request must be accepted at the first attempt, and Redis must have counted as many.
"""

from __future__ import annotations

from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures, percentile
from tests.bench.hello import PROTOCOLS
from tests.bench.http_rate import CONNECTIONS, Measured, hello, post_to_api

#: Protocol of uvicorn → the hello-world that runs on it.
HELLO = {protocol: f"FastAPI hello-world, {protocol}" for protocol in PROTOCOLS}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Post the same bodies to each, once a run."""
    requests = bench.size(10_000, 1_500)
    with bench.server() as server:
        for _ in range(bench.runs):
            for name, checkout in bench.versions("API"):
                _add(figures, name, post_to_api(server, requests, checkout))
            for protocol, name in HELLO.items():
                with hello(protocol) as found:
                    _add(figures, name, found.post(requests))
    figures.note(f"{requests:,} requests over {CONNECTIONS} connections")


def _add(figures: Figures, name: str, measured: Measured) -> None:
    figures.add(name, measured.posted.rate, "requests/s")
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        in_ms = percentile(measured.posted.seconds, share) * 1000
        figures.add(f"{name}: {label}", in_ms, "ms")
    figures.add(f"{name}: processor", measured.processor_us, "µs/request")
