"""A living producer: accepts at a steady rate, a few at a time, everything due at once.

Each recipient is named after the ms in which its intent was to be handed in, so that a producer
that falls behind counts as late. A process of its own: ``python -m tests.bench.produce URL RATE
ROUTES``.
"""

from __future__ import annotations

import sys
import time

from galaxy_notify import Intent, Notifier
from tests.bench.texts import texts

_SLOT_S = 0.005


def produce(notifier: Notifier, rate: int, routes: int) -> None:
    """Hand in so many intents, those of a slot together."""
    bodies = texts(200)
    started, sent = time.time(), 0
    while sent < routes:
        wanted = min(routes, int((time.time() - started + _SLOT_S) * rate))
        notifier.accept_many(
            Intent(
                type="bench.turn",
                producer="bench",
                recipients=[f"user-{int((started + number / rate) * 1000)}"],
                body=bodies[number % len(bodies)],
                data={"turn": number},
            )
            for number in range(sent, wanted)
        )
        sent = wanted
        time.sleep(max(0.0, started + sent / rate - time.time()))


if __name__ == "__main__":
    with Notifier.from_url(sys.argv[1]) as own_notifier:
        produce(own_notifier, int(sys.argv[2]), int(sys.argv[3]))
