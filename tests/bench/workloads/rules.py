"""Accepting an intent for a thousand recipients, without rules and with them."""

from __future__ import annotations

import json
import time
from itertools import count
from statistics import median
from typing import Any

import redis

from galaxy_notify import Notifier
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.settings import settings_from
from tests.bench.bench_run import BenchRun
from tests.bench.figures import Figures
from tests.support.servers import Server

WITHOUT = "without rules"
BOTH = "preferences and cooldowns"
HELD = "preferences and cooldowns, all held"

_USERS = [f"user-{number}" for number in range(1000)]
_DAY_MS = 86_400_000
_STORED = {
    "*": json.dumps({"channels": ["push"], "min_severity": "info"}),
    "type:chat": json.dumps({"channels": ["push"], "min_severity": "notice"}),
    "quiet": json.dumps({"from": "22:00", "to": "07:00", "zone": "Europe/Berlin"}),
}


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept the same fan-out again and again; every other recipient has preferences."""
    accepts = bench.size(50, 10)
    with bench.server() as server:
        for _ in range(bench.runs):
            for name, preferred, cooldown_ms, kind in (
                (WITHOUT, False, 0, "chat"),
                ("preferences", True, 0, "chat"),
                (BOTH, True, _DAY_MS, ""),
                (HELD, True, _DAY_MS, "chat"),
            ):
                server.flush()
                if preferred:
                    _prefer(server)
                figures.add(name, _accept(server, accepts, cooldown_ms, kind), "ms")


def _prefer(server: Server) -> None:
    keys = Keys("gn", 0)
    with redis.Redis.from_url(server.tcp_url) as client, client.pipeline() as pipeline:
        pipeline.set(keys.preferred, "1")
        for user in _USERS[::2]:
            pipeline.hset(keys.preferences(user), mapping=_STORED)
        pipeline.execute()


def _accept(server: Server, accepts: int, cooldown_ms: int, kind: str) -> float:
    """Return the median time in ms; without a *kind* each has a type of its own."""
    settings: dict[str, dict[str, Any]] = {"redis": {"url": server.tcp_url}}
    settings["rules"] = {"cooldown_ms": cooldown_ms}
    times, kinds = [], (kind or f"kind-{number}" for number in count())
    with Notifier(settings_from(settings)) as notifier:
        for _ in range(accepts + 1):
            intent = {"type": next(kinds), "producer": "bench", "recipients": _USERS}
            intent["severity"] = "notice"
            started = time.perf_counter()
            receipt = notifier.accept(intent)
            times.append(time.perf_counter() - started)
            assert receipt.status == "accepted", receipt
    # The first one connects, and sends the scripts.
    return 1000 * median(times[1:])
