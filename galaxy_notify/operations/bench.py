"""A throw-away prefix on an operator's server: what the server can do, and nothing left of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from hashlib import sha1
from time import perf_counter, sleep
from typing import Any, Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_client.scripts import Argument, Script, ScriptCall
from galaxy_notify.redis_state.deployment import Deployment, read_all
from galaxy_notify.settings import Settings
from galaxy_notify.signals import SIGNALS

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
