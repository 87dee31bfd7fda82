"""Accepting one at a time, in batches, from asyncio and on the command line."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis

from galaxy_notify import AsyncNotifier, Intent, Notifier
from tests.bench.bench_run import BenchRun, ensure_deployment
from tests.bench.figures import Figures
from tests.bench.fill import Load
from tests.bench.processes import running
from tests.bench.texts import texts
from tests.support.servers import Server

BARE = "bare SET round trips"
_AT_A_TIME = 64

Way = Callable[[Server, Sequence[Intent]], float]


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept in each way, beside bare SET round trips of the same text."""
    few, many = bench.size(10_000, 2_000), bench.size(100_000, 20_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            for name, way, size in (
                (BARE, bare_set, few),
                ("single", single, few),
                ("batch", batch, many),
                ("async, one at a time", _async_single, few),
                (f"async, {_AT_A_TIME} at a time", _async_many, few),
                ("async batch", _async_batch, many),
                ("command line", _command_line, many),
            ):
                figures.add(name, rate(way, server, size), "notifications/s")


def rate(way: Way, server: Server, size: int) -> float:
    """Accept so many on an empty server, in one way."""
    server.flush()
    ensure_deployment(server.tcp_url)
    return size / way(server, list(Load(size).intents()))


def bare_set(server: Server, intents: Sequence[Intent]) -> float:
    """Send what costs one round trip at least."""
    bodies = texts(200)
    with redis.Redis.from_url(server.tcp_url) as client:
        client.ping()
        started = time.perf_counter()
        for number in range(len(intents)):
            client.set(f"bare:{number}", bodies[number % len(bodies)])
        return time.perf_counter() - started


def single(server: Server, intents: Sequence[Intent]) -> float:
    """Accept one after the other."""
    with Notifier.from_url(server.tcp_url) as notifier:
        notifier.accept(intents[0])
        started = time.perf_counter()
        for intent in intents:
            notifier.accept(intent)
        return time.perf_counter() - started


def batch(server: Server, intents: Sequence[Intent]) -> float:
    """Accept all with one call."""
    with Notifier.from_url(server.tcp_url) as notifier:
        notifier.accept(intents[0])
        started = time.perf_counter()
        notifier.accept_many(intents)
        return time.perf_counter() - started


def _async_single(server: Server, intents: Sequence[Intent]) -> float:
    return asyncio.run(_accept_async(server.tcp_url, intents, 1))


def _async_many(server: Server, intents: Sequence[Intent]) -> float:
    return asyncio.run(_accept_async(server.tcp_url, intents, _AT_A_TIME))


def _async_batch(server: Server, intents: Sequence[Intent]) -> float:
    return asyncio.run(_accept_batch(server.tcp_url, intents))


async def _accept_async(url: str, intents: Sequence[Intent], at_a_time: int) -> float:
    async with AsyncNotifier.from_url(url) as notifier:
        await notifier.accept(intents[0])
        rest = iter(intents)

        async def accept() -> None:
            for intent in rest:
                await notifier.accept(intent)

        started = time.perf_counter()
        await asyncio.gather(*(accept() for _ in range(at_a_time)))
        return time.perf_counter() - started


async def _accept_batch(url: str, intents: Sequence[Intent]) -> float:
    async with AsyncNotifier.from_url(url) as notifier:
        await notifier.accept(intents[0])
        started = time.perf_counter()
        await notifier.accept_many(intents)
        return time.perf_counter() - started


def _command_line(server: Server, intents: Sequence[Intent]) -> float:
    """Time the whole process, its start too."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "intents"
        file.write_text("".join(_line(number) for number in range(len(intents))))
        started = time.perf_counter()
        command = ["galaxy_notify", "accept", str(file)]
        with running(*command, REDIS__URL=server.tcp_url) as process:
            process.wait(300)
            return time.perf_counter() - started


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
