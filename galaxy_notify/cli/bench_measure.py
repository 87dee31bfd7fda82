"""What ``bench`` measures: accepting, publishing, and what the server itself can do."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from galaxy_notify.daemon.shard import Shard
from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.intent import Intent
from galaxy_notify.operations.bench import floor_rate, round_trip_ms
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.settings import Settings
from galaxy_notify.signals import SIGNALS
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.base import Settled

_TEXT_BYTES: Final = 200
_PATIENCE_S: Final = 15.0
_LISTENERS: Final = 2
_CHUNK: Final = 1000


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process and this server make, a second; and percentiles of a bare write."""

    p50_ms: float
    p99_ms: float
    floor: float
    accepted: float
    published: float


def measure(settings: Settings, deployment: Deployment, routes: int) -> Measured:
    """Accept and publish this many routes; raise `Unavailable` and `RedisFault`.

    A signal ends it between two calls.
    """
    p50_ms, p99_ms = round_trip_ms(deployment)
    floor = floor_rate(deployment, routes, _body(0).encode())
    accepted = _accept(settings, routes)
    published = asyncio.run(_publish(settings, routes))
    return Measured(p50_ms, p99_ms, floor, accepted, published)


def _accept(settings: Settings, routes: int) -> float:
    with Notifier(settings) as notifier:
        intents = [_intent(number) for number in range(routes)]
        started = perf_counter()
        for first in range(0, routes, _CHUNK):
            SIGNALS.raise_if_ending()
            notifier.accept_many(intents[first : first + _CHUNK])
        return routes / (perf_counter() - started)


def _intent(number: int) -> Intent:
    return Intent(
        type="bench.turn",
        producer="bench",
        recipients=[f"user-{number}"],
        body=_body(number),
        data={"turn": number},
    )


def _body(number: int) -> str:
    text = f"It is your turn, number {number}: {number * 7919 % 1_000_003} fleets wait. "
    return (text * _TEXT_BYTES)[:_TEXT_BYTES]


class _Count(Telemetry):
    """Counts what was published."""

    def __init__(self) -> None:
        self.published = 0
        self.moved = asyncio.Event()

    def batch_settled(
        self, channel: str, counts: Mapping[Settled, int], lateness_s: Sequence[float]
    ) -> None:
        """Count the routes of a batch."""
        del channel, lateness_s
        self.published += sum(counts.values())
        self.moved.set()


async def _publish(settings: Settings, routes: int) -> float:
    """Let a worker of our own publish everything; return how many routes a second."""
    count, connections = _Count(), settings.worker.slots + _LISTENERS
    client = open_async(settings, connections=connections, name="galaxy-notify-bench")
    policy = Policy.from_settings(settings, f"bench-{os.getpid()}")
    about = {"host": socket.gethostname(), "pid": str(os.getpid())}
    publisher = PublisherState(settings, policy, count, about)
    shard = Shard(client, publisher, KeySpace(settings.redis.prefix, policy.shared).keys(0))
    started = perf_counter()
    working = asyncio.create_task(shard.run())
    try:
        await _until(count, routes, working)
        return routes / (perf_counter() - started)
    finally:
        shard.stop()
        await asyncio.wait({working})
        await client.aclose()


async def _until(count: _Count, routes: int, working: asyncio.Task[None]) -> None:
    """Wait until this many are published; raise what ended the worker, or `Unavailable`."""
    while count.published < routes:
        SIGNALS.raise_if_ending()
        count.moved.clear()
        moving = asyncio.create_task(count.moved.wait())
        done, _ = await asyncio.wait(
            {moving, working}, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED
        )
        moving.cancel()
        if working in done:
            working.result()
        if not done or working in done:
            raise Unavailable(f"publishing stopped after {count.published} of {routes} routes")
