"""A producer that hands in to a `BackgroundNotifier` at a steady rate, and times each call.

A process of its own: ``python -m tests.bench.enqueue URL ON_FULL FOLDER CALLER RATE SECONDS``.
CALLER is ``resting`` (sleeps whenever it is ahead, as one that waits for its own requests does) or
``busy`` (never lets go of the interpreter). It ends when nothing waits any more, and prints what it
found as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from galaxy_notify import BackgroundNotifier, BackgroundOptions
from galaxy_notify.intake.tally import Stats
from tests.bench.figures import percentile
from tests.bench.texts import texts
from tests.support.wait import wait_until

_DRAIN_S = 300
_REST_S = 0.001


def main() -> None:
    """Hand in as the arguments say."""
    url, on_full, folder, caller, rate, seconds = sys.argv[1:]
    spill = Path(folder, "spill") if on_full == "spill" else None
    options = BackgroundOptions(on_full=on_full, spill_path=spill, block_ms=1)  # type: ignore[arg-type]
    with BackgroundNotifier.from_url(url, options=options) as notifier:
        took, enough_s = hand_in(notifier, int(rate), float(seconds), busy=caller == "busy")
        at_end = notifier.stats()
        began = time.monotonic()
        wait_until(lambda: not notifier.stats().waiting, "nothing waits", _DRAIN_S)
        drained_s = time.monotonic() - began
    print(
        json.dumps(
            _told(took, notifier.stats(), at_end) | {"enough_s": enough_s, "drained_s": drained_s}
        )
    )


def hand_in(
    notifier: BackgroundNotifier, rate: int, seconds: float, *, busy: bool
) -> tuple[array[int], float]:
    """Return the nanoseconds that each call took, and how long all of them took."""
    enqueue, clock, fresh = notifier.enqueue, time.perf_counter_ns, _intents()
    total = int(rate * seconds)
    took = array("q", bytes(8 * total))
    started, sent = time.perf_counter(), 0
    while sent < total:
        wanted = min(total, int((time.perf_counter() - started) * rate) + 1)
        for place in range(sent, wanted):
            intent = next(fresh)
            before = clock()
            enqueue(intent)
            took[place] = clock() - before
        sent = max(sent, wanted)
        if not busy and sent >= (time.perf_counter() - started) * rate:
            time.sleep(_REST_S)
    return took, time.perf_counter() - started


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
        "enqueued": stats.enqueued,
        "accepted": stats.accepted,
        "dropped": sum(stats.dropped.values()),
        "spilled": at_end.spilled,
        "exact": stats.is_exact and stats.enqueued == stats.accepted + sum(stats.dropped.values()),
    }


if __name__ == "__main__":
    main()
