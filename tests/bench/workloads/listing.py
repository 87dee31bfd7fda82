"""The list of what was accepted: what it costs at accept, to read, and to trim."""

from __future__ import annotations

import time
from itertools import repeat
from statistics import median
from typing import Any

import redis

from galaxy_notify import Intent, Notifier
from galaxy_notify.operations.list_filter import ListFilter
from galaxy_notify.operations.listing import list_notifications
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.janitor_store import LISTED
from galaxy_notify.redis_state.keys import Keys
from tests.bench.bench_run import BenchRun, deployment, ensure_deployment, patient
from tests.bench.figures import Figures
from tests.bench.watch import commands
from tests.support.servers import Server

_KEYS = Keys("gn", 0)
_INTENT = Intent(type="bench", producer="bench", recipients=["user-7"], due_at=2_000_000_000_000)
_BATCH = 1000


def measure(bench: BenchRun, figures: Figures) -> None:
    """Accept one by one and many together; then read the list, and trim it away."""
    number = bench.size(100_000, 2_000)
    with bench.server() as server:
        for _ in range(bench.runs):
            for name, together in (("single", 1), ("many", _BATCH)):
                server.flush()
                ensure_deployment(server.tcp_url)
                _accept(figures, server, name, number, together)
                _read(figures, server, name)
            _trim(figures, server, number)
    figures.note(f"{number:,} notifications; many: {_BATCH:,} in one call of accept_many")


def _accept(figures: Figures, server: Server, name: str, number: int, together: int) -> None:
    with patient(server) as client, Notifier.from_url(server.tcp_url) as notifier:
        notifier.accept(_INTENT)
        before = commands(client)
        for _ in range(number // together):
            if together == 1:
                notifier.accept(_INTENT)
            else:
                notifier.accept_many(repeat(_INTENT, together))
        after = commands(client)
        used: Any = client.memory_usage(_KEYS.accepted, samples=0)
    for what, command in (("accept", "evalsha"), ("of it the list", "xadd")):
        took = after[command]["usec"] - before.get(command, {"usec": 0})["usec"]
        figures.add(f"{name}: {what}", took / number, "µs/notification")
    figures.add(f"{name}: memory of the list", used / number, "B/notification")


def _read(figures: Figures, server: Server, name: str) -> None:
    with deployment(server.tcp_url) as place:
        for what, wanted in (
            ("page of 100", ListFilter()),
            ("page of 100 by state", ListFilter(states=("pending",))),
            ("page that matches nothing", ListFilter(types=("none",))),
        ):
            times = []
            for _ in range(20):
                started = time.perf_counter()
                list_notifications(place, wanted)
                times.append(time.perf_counter() - started)
            figures.add(f"{name}: {what}", median(times) * 1000, "ms")


def _trim(figures: Figures, server: Server, number: int) -> None:
    """List what is gone, one by one, and trim it away."""
    with patient(server) as client, deployment(server.tcp_url) as place:
        _list_gone(client, number)
        before, start = commands(client).get("evalsha", {"usec": 0})["usec"], "-"
        pages = 0
        while start:
            following, _, _ = run_sync(place.client, calls.listing_trim(_KEYS, start, LISTED))
            start, pages = following.decode(), pages + 1
        took = commands(client)["evalsha"]["usec"] - before
    figures.add("trim", took / number, "µs/entry")
    figures.add("trim: a page", took / pages, "µs")


def _list_gone(client: redis.Redis, number: int) -> None:
    client.delete(_KEYS.accepted)
    pipeline = client.pipeline(transaction=False)
    for entry in range(number):
        pipeline.xadd(_KEYS.accepted, {"ids": f"{entry:032x}"})
        if entry % _BATCH == 0:
            pipeline.execute()
    pipeline.execute()
