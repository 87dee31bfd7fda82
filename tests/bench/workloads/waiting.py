"""Waiting schedules: the cost of a claim or a publish beside them, and the memory of each route.

Two servers are measured in turns, one with a small schedule and one with a growing schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import redis

from galaxy_notify.encoding import load_encoder
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.publish_call import read_published, route_publish
from tests.bench.bench_run import SCHEDULE, BenchRun, deployment, patient
from tests.bench.drain import drain_filled
from tests.bench.figures import Figures
from tests.bench.fill import fill
from tests.bench.load import Load
from tests.bench.processes import daemons
from tests.bench.stream import check_each_once, newest
from tests.bench.watch import commands
from tests.bench.workloads.idle import watch_rest
from tests.support.servers import Server
from tests.support.wait import wait_until

_DAY_MS = 86_400_000
_BATCH = 128
_CALLS = 40
_LIMITS = leases.ClaimLimits(_BATCH, 60_000, 4 << 20, 300_000, 0)
# More than a route was ever seen to take; the memory is for server and all else.
_ROUTE_BYTES = 1000
# Small hashes stay compact with these; Redis 7 took the names of Redis 6.2 over.
_COMPACT = {"hash_max_ziplist_value": "1024", "hash_max_ziplist_entries": "16"}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Grow the schedule step by step; at each, claim and drain beside it."""
    small = bench.size(10_000, 1_000)
    levels = {
        "medium": bench.size(1_000_000, 20_000),
        "largest": _bounded(bench.size(10_000_000, 50_000), figures),
    }
    with bench.server() as little, bench.server() as large:
        _grow(little, small)
        figures.add("smallest schedule", small, "routes")
        for name, level in levels.items():
            took = _grow(large, level)
            figures.add(f"{name} schedule", level, "routes")
            figures.add(f"{name} schedule: memory", took, "B/route")
            for _ in range(bench.runs):
                _beside(bench, figures, little, f"smallest, beside the {name}")
                _beside(bench, figures, large, name)
        _rest(bench, figures, large, "idle, largest")
    for suffix, options in (("", {}), (", listpack", _COMPACT)):
        with bench.server(**options) as server:
            _recipients(bench, figures, server, suffix)


def _beside(bench: BenchRun, figures: Figures, server: Server, name: str) -> None:
    figures.add(f"publish, {name}", _publish_us(server), "µs/route")
    figures.add(f"claim, {name}", _claim_us(server), "µs/route")
    routes = bench.size(30_000, 5_000)
    fill(server.tcp_url, Load(routes))
    work = drain_filled(server, routes + _BATCH * _CALLS)
    figures.add(f"drain, {name}", work.rate, "routes/s")
    figures.add(f"drain, {name}: server", work.server_us, "µs/route")


def _publish_us(server: Server) -> float:
    """Let the script publish what is due; return the median of its calls."""
    fill(server.tcp_url, Load(_BATCH * _CALLS))
    with deployment(server.tcp_url) as place, patient(server) as client:
        terms = Policy("bench", load_encoder("msgpack"), place.shared).publish_terms
        call = route_publish(place.keys(0), "push", _LIMITS, terms, now=None)
        last = newest(client)
        took = _median_us(client, lambda _: read_published(run_sync(place.client, call)).routes)
        check_each_once(client, _BATCH * _CALLS, last)
    return took


def _claim_us(server: Server) -> float:
    """Claim what is due under leases that lapse at once; a daemon publishes it afterwards."""
    fill(server.tcp_url, Load(_BATCH * _CALLS))
    with deployment(server.tcp_url) as place, patient(server) as client:
        keys = place.keys(0)

        def claim(number: int) -> int:
            token = f"bench:0:60000:{time.time_ns()}{number}"
            call = leases.route_claim(keys, "push", token, _LIMITS, alone=False, now=None)
            return len(leases.read_claim(run_sync(place.client, call), token).members)

        took = _median_us(client, claim)
        _end_leases(client, keys.leases("push"))
    return took


def _median_us(client: redis.Redis, take: Callable[[int], int]) -> float:
    """Return the median time of a script over its calls, in µs for each route of a full batch.

    The server's own time of a script goes on while another process has its core: a mean shows that.
    """
    took: list[float] = []
    for number in range(_CALLS):
        before = _script_us(client)
        if (routes := take(number)) != _BATCH:
            raise RuntimeError(f"{routes} routes in a call instead of {_BATCH}")
        took.append((_script_us(client) - before) / _BATCH)
    return median(took)


def _end_leases(client: redis.Redis, leases: str) -> None:
    """End the leases as if they had never been; whatever waits is due in a day."""
    members: Any = client.zrangebyscore(SCHEDULE, "-inf", int(time.time() * 1000) + _DAY_MS // 2)
    client.zadd(SCHEDULE, dict.fromkeys(members, 1))
    client.delete(leases)


def _grow(server: Server, waiting: int) -> float:
    """Fill up to so many waiting routes; return the bytes that each new one takes."""
    with patient(server) as client:
        have, before = int(str(client.zcard(SCHEDULE))), _memory(client)
        due = int(time.time() * 1000) + _DAY_MS
        fill(server.tcp_url, Load(waiting - have, due_ms=due, span_ms=_DAY_MS))
        return (_memory(client) - before) / (waiting - have)


def _rest(bench: BenchRun, figures: Figures, server: Server, name: str) -> None:
    with patient(server) as client, daemons(server.tcp_url) as (worker,):
        client.delete("{gn:0}:workers")
        wait_until(lambda: client.zcard("{gn:0}:workers"), "the daemon works", 30)
        watch_rest(figures, client, worker, bench.size(30, 5), name)


def _recipients(bench: BenchRun, figures: Figures, server: Server, suffix: str) -> None:
    """Compare notifications of 1 and of 101 recipients."""
    due, many = int(time.time() * 1000) + _DAY_MS, bench.size(2000, 500)
    takes: dict[int, float] = {}
    for fan_out, number in ((1, many * 50), (101, many)):
        server.flush()
        fill(server.tcp_url, Load(10, due_ms=due))
        with patient(server) as client:
            before = _memory(client)
            fill(server.tcp_url, Load(number, fan_out=fan_out, due_ms=due, span_ms=_DAY_MS))
            takes[fan_out] = (_memory(client) - before) / number
    figures.add(f"memory, single recipient{suffix}", takes[1], "B")
    figures.add(f"memory, each further recipient{suffix}", (takes[101] - takes[1]) / 100, "B")


def _bounded(wanted: int, figures: Figures) -> int:
    """Return as many routes as half the memory holds, at most *wanted*."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free_kb = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    fits = free_kb * 1024 // 2 // _ROUTE_BYTES
    if fits < wanted:
        figures.note(f"half of the memory holds {fits:,} routes, not {wanted:,}")
    return min(wanted, fits // 100_000 * 100_000)


def _memory(client: redis.Redis) -> int:
    memory: Any = client.info("memory")
    return int(memory["used_memory"])


def _script_us(client: redis.Redis) -> int:
    return int(commands(client).get("evalsha", {"usec": 0})["usec"])
