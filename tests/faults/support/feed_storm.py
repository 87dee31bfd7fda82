"""A storm over writers of the feed: they, Postgres and Redis die again and again under load."""

from __future__ import annotations

import threading
import time
from itertools import cycle

from tests.faults.support.feed_run import FeedRun
from tests.support.postgres import Postgres
from tests.support.servers import Server

#: Events of one call of the producer.
_TOGETHER = 100
#: A dead server stays dead for so long.
_DEAD_S = 1.0
_WRITERS = 3


class FeedStorm:
    """So many events, at most so many in a second, and what dies meanwhile."""

    def __init__(self, one: FeedRun, events: int, per_s: float) -> None:
        self._one = one
        self._events = events
        self._per_s = per_s
        self._deaths = 0

    def run(self, kill_each_s: float, postgres_kills: int, redis_kills: int) -> None:
        """Kill a writer every so often, and the servers so many times; then judge what is there."""
        one = self._one
        writers = cycle([one.writer() for _ in range(_WRITERS)])
        shares: list[tuple[float, Postgres | Server]] = [
            *((n / (postgres_kills + 1), one.postgres) for n in range(1, postgres_kills + 1)),
            *(((n - 0.5) / redis_kills, one.server) for n in range(1, redis_kills + 1)),
        ]
        doomed = sorted(shares, key=lambda pair: pair[0])
        producing = threading.Thread(target=self._produce)
        began = time.monotonic()
        producing.start()
        while producing.is_alive() or doomed:
            producing.join(kill_each_s)
            if doomed and len(one.sent) >= doomed[0][0] * self._events:
                _kill(doomed.pop(0)[1])
            writer = next(writers)
            writer.kill()
            writer.start()
            self._deaths += 1
        ended = time.monotonic()
        one.wait_until_written()
        one.figures.append(
            f"{len(one.sent):,} events in {ended - began:.0f} s; {_WRITERS} writers killed"
            f" {self._deaths} times, Postgres {postgres_kills} times, Redis {redis_kills} times;"
            f" all written {time.monotonic() - ended:.1f} s after the end"
        )
        one.assert_exact()
        one.figures.append(
            f"{one.rows():,} rows, each event once; counts and marks exact; 0 parked"
        )

    def _produce(self) -> None:
        began = time.monotonic()
        for first in range(0, self._events, _TOGETHER):
            threading.Event().wait(max(0.0, began + first / self._per_s - time.monotonic()))
            self._one.publish(range(first, min(self._events, first + _TOGETHER)))


def _kill(server: Postgres | Server) -> None:
    server.kill()
    threading.Event().wait(_DEAD_S)
    server.start()
