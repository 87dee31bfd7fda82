"""A producer that hands in to a `BackgroundNotifier` at a steady rate, and times each call.

It rests whenever it is ahead, as one that waits for its own requests does, and ends when nothing
waits any more. What it found is printed as JSON. A process of its own: ``python -m
tests.bench.enqueue URL ON_FULL FOLDER RATE SECONDS``; without a FOLDER it does not wait.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast, get_args

from galaxy_notify import BackgroundNotifier, BackgroundOptions
from galaxy_notify.background.options import OnFull
from galaxy_notify.background.stats import Stats
from tests.bench.figures import percentile
from tests.bench.texts import texts
from tests.support.background import is_exact
from tests.support.wait import wait_until

_DRAIN_S = 500
_REST_S = 0.001
_LONG_NS = 1_000_000


def main() -> None:
    """Hand in as the arguments say."""
    url, on_full, folder, rate, seconds = sys.argv[1:]
    assert on_full in get_args(OnFull)
    spill = Path(folder, "spill") if on_full == "spill" else None
    options = BackgroundOptions(on_full=cast("OnFull", on_full), spill_path=spill)
    notifier = BackgroundNotifier.from_url(url, options=options)
    took = hand_in(notifier, int(rate), float(seconds))
    at_end = notifier.stats()
    if folder:
        wait_until(lambda: not notifier.stats().waiting, "nothing waits", _DRAIN_S)
    notifier.close(0)
    print(json.dumps(_told(took, notifier.stats(), at_end)))


def hand_in(notifier: BackgroundNotifier, rate: int, seconds: float) -> array[int]:
    """Return the nanoseconds that each call took."""
    enqueue, clock, fresh = notifier.enqueue, time.perf_counter_ns, _intents()
    total, sent = int(rate * seconds), 0
    took = array("q", bytes(8 * total))
    started = time.perf_counter()
    while sent < total:
        wanted = min(total, int((time.perf_counter() - started) * rate) + 1)
        for place in range(sent, wanted):
            intent = next(fresh)
            before = clock()
            enqueue(intent)
            took[place] = clock() - before
        sent = wanted
        if sent >= (time.perf_counter() - started) * rate:
            time.sleep(_REST_S)
    return took


def _intents() -> Iterator[dict[str, Any]]:
    bodies, turn = texts(200), 0
    while True:
        turn += 1
        yield {
            "type": "bench.turn",
            "producer": "bench",
            "recipients": ["user-7"],
            "body": bodies[turn % len(bodies)],
            "data": {"turn": turn},
        }


def _told(took: array[int], stats: Stats, at_end: Stats) -> dict[str, Any]:
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "longest": 1.0}
    return {
        "us": {name: percentile(took, share) / 1000 for name, share in shares.items()},
        "over_1_ms": sum(one > _LONG_NS for one in took) / len(took),
        "enqueued": stats.enqueued,
        "accepted": stats.accepted,
        "dropped": sum(stats.dropped.values()),
        "spilled at the end": at_end.spilled,
        "exact": is_exact(stats) and stats.enqueued == stats.accepted + sum(stats.dropped.values()),
    }


if __name__ == "__main__":
    main()
