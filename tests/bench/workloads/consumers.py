"""One and two consumers of a group at full rate, compared with only reading and acknowledging."""

from __future__ import annotations

import time
from contextlib import ExitStack

import redis

from tests.bench.bench_run import STREAM, BenchRun, patient
from tests.bench.consume import GROUP
from tests.bench.drain import drain
from tests.bench.figures import Figures
from tests.bench.fill import Load
from tests.bench.processes import running
from tests.bench.watch import watch
from tests.support.servers import Server

_BATCH = 64


def measure(bench: BenchRun, figures: Figures) -> None:
    """Read one stream with a new group each time."""
    events = bench.size(50_000, 10_000)
    with bench.server() as server:
        drain(server, Load(events))
        for _ in range(bench.runs):
            figures.add("bare reading", bare(server, events), "events/s")
            figures.add("1 consumer", consumed(server, events, 1), "events/s")
            figures.add("2 consumers", consumed(server, events, 2), "events/s")


def bare(server: Server, events: int) -> float:
    """Read and acknowledge, and do nothing else."""
    with redis.Redis.from_url(server.tcp_url) as client:
        client.xgroup_create(STREAM, "bare", id="0")
        started, read = time.perf_counter(), 0
        while read < events:
            answer = client.xreadgroup("bare", "bare", {STREAM: ">"}, count=_BATCH)
            ids = [stream_id for stream_id, _ in _entries(answer)]
            client.xack(STREAM, "bare", *ids)
            read += len(ids)
        seconds = time.perf_counter() - started
        client.xgroup_destroy(STREAM, "bare")
    return events / seconds


def _entries(answer: object) -> list[tuple[bytes, object]]:
    assert isinstance(answer, list)
    return [entry for _, entries in answer for entry in entries]


def consumed(server: Server, events: int, consumers: int) -> float:
    """Let consumers of a new group read everything; their marks tell how far they are."""
    seen = f"{{gn:0}}:seen:{GROUP}"
    with patient(server) as client, ExitStack() as stack:
        names = [f"bench-{number}" for number in range(consumers)]
        processes = [
            stack.enter_context(running("tests.bench.consume", server.tcp_url, name))
            for name in names
        ]
        rate = watch(client, processes, lambda: int(str(client.zcard(seen))), events).rate
        stack.close()
        client.xgroup_destroy(STREAM, GROUP)
        client.delete(seen)
    return rate
