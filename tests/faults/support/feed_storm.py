"""A storm over writers of the feed: they, Postgres and Redis die again and again under load."""

from __future__ import annotations

import threading
import time

from tests.faults.support.feed_run import FeedRun
from tests.support.wait import HANG_S

#: Events of one call of the producer.
_TOGETHER = 100
#: A dead server stays dead for so long.
_DEAD_S = 1.0
_WRITERS = 3


def _produce(one: FeedRun, events: int, per_s: float) -> None:
    """Put events into the streams, at most so many in a second."""
    began = time.monotonic()
    for first in range(0, events, _TOGETHER):
        threading.Event().wait(max(0.0, began + first / per_s - time.monotonic()))
        one.publish(range(first, min(events, first + _TOGETHER)))


def feed_storm(
    one: FeedRun,
    *,
    events: int,
    per_s: float,
    kill_each_s: float,
    postgres_kills: int,
    redis_kills: int,
) -> None:
    """Kill a writer every so often, and the servers so many times, while events come."""
    for _ in range(_WRITERS):
        one.writer()
    began = time.monotonic()
    producing = threading.Thread(target=_produce, args=(one, events, per_s))
    producing.start()
    deaths = postgres = redis = 0
    while True:
        producing.join(kill_each_s)
        share = len(one.sent) / events
        if postgres < postgres_kills and share >= (postgres + 1) / (postgres_kills + 1):
            one.postgres.kill()
            threading.Event().wait(_DEAD_S)
            one.postgres.start()
            postgres += 1
        elif redis < redis_kills and share >= (redis + 0.5) / redis_kills:
            one.server.kill()
            threading.Event().wait(_DEAD_S)
            one.server.start()
            redis += 1
        elif not producing.is_alive():
            break
        writer = one.writers[deaths % _WRITERS]
        writer.kill()
        writer.start()
        deaths += 1
    producing.join(HANG_S)
    ended = time.monotonic()
    one.wait_until_written()
    one.figures.append(
        f"{len(one.sent):,} events in {ended - began:.0f} s; writers killed {deaths} times, Postgres"
        f" {postgres} times, Redis {redis} times; all written {time.monotonic() - ended:.1f} s after"
        " the last one"
    )
    one.assert_exact()
    assert deaths
    one.figures.append(f"{one.rows():,} rows, each event once; counts and marks exact, 0 parked")
