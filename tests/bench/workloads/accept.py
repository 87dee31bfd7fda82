"""Accepting one at a time, several at a time, in batches, and on the command line.

Each way runs in a process of its own, in turns with the same way of the commit before, and beside
bare SET of texts of the same size: one round trip for each, and pipelined, 128 in each round trip.
After each run Redis must have counted as many notifications as were accepted.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import redis

from tests.bench.acceptor import WAYS
from tests.bench.bench_run import BenchRun, ensure_deployment, patient, total
from tests.bench.checkout import HERE, Checkout
from tests.bench.figures import Figures
from tests.bench.fill import found
from tests.bench.load import Load
from tests.bench.processes import running
from tests.bench.texts import texts
from tests.support.servers import Server

BARE = "bare SET round trips"
PIPELINED = "bare SET, pipelined"
_UNIT = "notifications/s"
_PIPELINE = 128
_PATIENCE_S = 300


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept in each way, once a run."""
    few, many = bench.size(10_000, 2_000), bench.size(100_000, 20_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            figures.add(BARE, bare_set(server, few), _UNIT)
            figures.add(PIPELINED, bare_set(server, many, _PIPELINE), _UNIT)
            for way in WAYS:
                size = many if "batch" in way else few
                for name, checkout in bench.versions(way):
                    figures.add(name, accept_rate(server, way, size, checkout), _UNIT)
            figures.add("command line", _command_line(server, many), _UNIT)


def accept_rate(server: Server, way: str, size: int, checkout: Checkout = HERE) -> float:
    """Accept so many on an empty server; return the notifications a second."""
    server.flush()
    found(server.tcp_url, checkout)
    command = ["tests.bench.acceptor", server.tcp_url, way, json.dumps(asdict(Load(size)))]
    with running(*command, of=checkout) as process, patient(server) as client:
        process.wait(_PATIENCE_S)
        seconds = float(json.loads(process.output().splitlines()[-1])["seconds"])
        # One more, which has connected.
        if (counted := total(client, "accepted")) != size + 1:
            raise RuntimeError(f"{way}: {counted} accepted instead of {size + 1}")
    return size / seconds


def bare_set(server: Server, size: int, together: int = 1) -> float:
    """Send so many SET, some of them together; return those of a second."""
    server.flush()
    with redis.Redis.from_url(server.tcp_url) as client:
        client.ping()
        started = time.perf_counter()
        for numbers in _groups(size, together):
            if together == 1:
                client.set(*_pair(numbers[0]))
                continue
            pipeline = client.pipeline(transaction=False)
            for number in numbers:
                pipeline.set(*_pair(number))
            pipeline.execute()
        return size / (time.perf_counter() - started)


def _groups(size: int, together: int) -> Iterator[range]:
    for start in range(0, size, together):
        yield range(start, min(start + together, size))


def _pair(number: int) -> tuple[str, str]:
    bodies = texts(200)
    return f"bare:{number}", bodies[number % len(bodies)]


def _command_line(server: Server, size: int) -> float:
    """Time the whole process, its start too."""
    server.flush()
    ensure_deployment(server.tcp_url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "intents"
        file.write_text("".join(_line(number) for number in range(size)))
        started = time.perf_counter()
        command = ["galaxy_notify", "accept", str(file)]
        with running(*command, REDIS__URL=server.tcp_url) as process:
            process.wait(_PATIENCE_S)
            return size / (time.perf_counter() - started)


def _line(number: int) -> str:
    bodies = texts(200)
    intent: dict[str, Any] = {
        "type": "bench.turn",
        "producer": "bench",
        "recipients": [f"user-{number}"],
        "body": bodies[number % len(bodies)],
        "data": {"turn": number},
    }
    return json.dumps(intent) + "\n"
