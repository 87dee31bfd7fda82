"""What ``bench`` measures: accepting, publishing, and what the server itself can do.

It writes below a throw-away prefix on an operator's server, and leaves nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from time import perf_counter, sleep
from typing import Any, Final

from galaxy_notify.daemon.shard import Shard
from galaxy_notify.errors import ConfigurationError, Unavailable
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.intent import Intent
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import Argument, Script, ScriptCall
from galaxy_notify.redis_state.deployment import Deployment, read_all
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


_PREFIX: Final = "gn-bench-"
_SCAN: Final = 1000
_ROUND_TRIPS: Final = 500
_BATCH: Final = 128
# A server that was brought to its limits may need a while before it answers again.
_PAUSES_S: Final = (0.2, 1.0, 5.0)
_ADD: Final = """
for i = 1, #ARGV, 8 do redis.call('XADD', KEYS[1], '*', unpack(ARGV, i, i + 7)) end
return #ARGV
"""


def throwaway_settings(settings: Settings) -> Settings:
    """Return settings for the same server that write to a prefix of their own."""
    redis = settings.redis.model_copy(update={"prefix": _PREFIX + secrets.token_hex(6)})
    worker = settings.worker.model_copy(update={"shards": 1, "channels": ("push",)})
    gateway = settings.gateway.model_copy(
        update={"stream": "", "encoder": "msgpack", "max_len": 10_000_000}
    )
    return settings.model_copy(update={"redis": redis, "worker": worker, "gateway": gateway})


def check_empty(deployment: Deployment) -> None:
    """Raise `ConfigurationError` unless the prefix is a throw-away one and empty."""
    prefix = _temporary_prefix(deployment)
    if found := next(_keys(deployment), []):
        raise ConfigurationError(f"the prefix {prefix} is in use: {found[0]!r}")


def remove(deployment: Deployment) -> int:
    """Remove every key of the throw-away prefix and return how many there were."""
    _temporary_prefix(deployment)
    removed = 0
    for pause in (*_PAUSES_S, None):
        try:
            for keys in _keys(deployment):
                (gone,) = read_all(deployment, [["UNLINK", *keys]])
                removed += int(gone)
            break
        except RedisFault:
            if pause is None:
                raise
            sleep(pause)
    return removed


def _temporary_prefix(deployment: Deployment) -> str:
    prefix = deployment.key_space.prefix
    if not prefix.startswith(_PREFIX):
        raise ConfigurationError(f"{prefix} is not a temporary prefix")
    return prefix


def round_trip_ms(deployment: Deployment) -> tuple[float, float]:
    """Time bare writes, one after the other; return the 50th and the 99th percentile in ms."""
    key, took = f"{deployment.keys(0).tag}round-trip", []
    for number in range(_ROUND_TRIPS):
        started = perf_counter()
        read_all(deployment, [["SET", key, number]])
        took.append((perf_counter() - started) * 1000)
    took.sort()
    return took[_ROUND_TRIPS // 2], took[_ROUND_TRIPS * 99 // 100]


def floor_rate(deployment: Deployment, events: int, payload: bytes) -> float:
    """Append events and do nothing else, batched in Lua; return how many a second."""
    digest = sha1(_ADD.encode(), usedforsecurity=False).hexdigest()
    script, stream = Script("floor", _ADD, digest), f"{deployment.keys(0).tag}floor"
    started = perf_counter()
    for first in range(0, events, _BATCH):
        SIGNALS.raise_if_ending()
        args: list[Argument] = []
        for number in range(first, min(first + _BATCH, events)):
            args += ("user_id", f"user-{number}", "event_type", "bench.turn", "event_id")
            args += (f"{number:032x}/push:user-{number}", "payload_bytes", payload)
        run_sync(deployment.client, ScriptCall(script, [stream], args))
    return events / (perf_counter() - started)


def _keys(deployment: Deployment) -> Iterator[list[Any]]:
    """Find every key of the prefix, page by page; pages without any are left out."""
    cursor: Any = 0
    while True:
        ((cursor, page),) = read_all(
            deployment, [["SCAN", cursor, "MATCH", f"{deployment.keys(0).tag}*", "COUNT", _SCAN]]
        )
        if page:
            yield page
        if int(cursor) == 0:
            return
