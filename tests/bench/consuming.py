"""How fast events are consumed: by consumers of a group, and by only reading and acknowledging."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

import redis

from tests.bench.bench_run import STREAM, patient
from tests.bench.checkout import HERE, Checkout
from tests.bench.consume import GROUP, ONE_BY_ONE
from tests.bench.drain import Daemon, drain
from tests.bench.load import Load
from tests.bench.processes import running
from tests.bench.watch import watch
from tests.support.servers import Server

_BATCH = 64


def bare(server: Server, events: int) -> float:
    """Read and acknowledge 64 at a time, and do nothing else; return the events a second."""
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


def _entries(answer: object) -> Sequence[tuple[bytes, object]]:
    assert isinstance(answer, list)
    return [entry for _, entries in answer for entry in entries]


def consumed(
    server: Server, events: int, count: int = 1, way: str = ONE_BY_ONE, of: Checkout = HERE
) -> float:
    """Let consumers of a new group read everything; their marks show how far they are.

    In the end each event must be marked, and none may be pending.
    """
    seen = f"{{gn:0}}:seen:{GROUP}"
    with patient(server) as client, ExitStack() as stack:
        processes = [
            stack.enter_context(
                running("tests.bench.consume", server.tcp_url, f"bench-{number}", way, of=of)
            )
            for number in range(count)
        ]
        work = watch(client, processes, lambda: int(str(client.zcard(seen))), events)
        stack.close()
        pending = client.xpending(STREAM, GROUP)["pending"]
        marked = int(str(client.zcard(seen)))
        client.xgroup_destroy(STREAM, GROUP)
        client.delete(seen)
    if (pending, marked) != (0, events):
        raise RuntimeError(f"{marked} of {events} events marked, {pending} pending")
    return work.rate


def consumed_own(server: Server, events: int, checkout: Checkout) -> float:
    """Let one consumer of a checkout read what the same checkout has published."""
    drain(server, Load(events), Daemon(checkout=checkout))
    return consumed(server, events, of=checkout)
