"""A producer that is interrupted again and again, in a process of its own: it may crash.

``python interrupted.py lines URL`` raises at every line that an accept runs through; ``signals``
raises from a signal handler, as a soft time limit does, ``background`` the same while intents are
handed in. After each, the next call must work, and have its own reply. Prints a line of JSON.
"""

from __future__ import annotations

import gc
import json
import random
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from galaxy_notify.background.notifier import BackgroundNotifier
from galaxy_notify.background.options import BackgroundOptions
from galaxy_notify.intake.notifier import Notifier
from galaxy_notify.model.ids import id_for_key
from galaxy_notify.redis_client import connection
from tests.support.intents import PLAIN, intent
from tests.support.wait import HANG_S

_SIGNALS, _LATEST_S = 400, 0.0006


class Interrupted(Exception):
    """What interrupts; no defect of an intent."""


class _Lines:
    """Raises once, at the line with a number."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.has_raised = False

    def __call__(self, frame: FrameType, event: str, arg: object) -> Any:
        """Count a line."""
        if self.has_raised:
            return None
        if event == "line":
            self.left -= 1
            if self.left < 0:
                self.has_raised = True
                raise Interrupted
        return self


def _next_works(notifier: Notifier, key: str) -> None:
    receipt = notifier.accept({**PLAIN, "idempotency_key": key})
    assert receipt.notification_id == id_for_key("lobby", key), receipt


def _sweep(notifier: Notifier, name: str, prepare: Callable[[], object]) -> int:
    """Interrupt an accept at each of its lines; return how many there were."""
    line = 0
    while True:
        prepare()
        tracer = _Lines(line)
        sys.settrace(tracer)
        try:
            notifier.accept({**PLAIN, "idempotency_key": f"{name}-{line}"})
        except Interrupted:
            pass
        finally:
            sys.settrace(None)
        _next_works(notifier, f"after-{name}-{line}")
        if not tracer.has_raised:
            return line
        line += 1


def lines(url: str) -> dict[str, int]:
    """Interrupt accepts at every line: over a connection at hand, and over a new one."""
    notifier = Notifier.from_url(url)
    notifier.accept(PLAIN)
    pool: Any = notifier._client._client.connection_pool
    found = {
        "at hand": _sweep(notifier, "hand", lambda: None),
        "new": _sweep(notifier, "new", pool.disconnect),
    }
    gc.collect()
    return found | {"connections": len(pool._stock.all())}


def _raise(*_: object) -> None:
    raise Interrupted


def signals(url: str) -> dict[str, int]:
    """Interrupt accepts by a signal, some time after they have begun."""
    many = [intent(recipients=[f"u{n}"]) for n in range(20)]
    with Notifier.from_url(url) as notifier:

        def work() -> None:
            assert notifier.accept(dict(PLAIN)).status == "accepted"
            notifier.accept_many(many)

        return {"hits": _interrupted(work, lambda key: _next_works(notifier, key))}


def background(url: str) -> dict[str, int]:
    """Interrupt callers that hand in, and wait for room; all that they hand in is counted."""
    options = BackgroundOptions(on_full="block_with_deadline", block_ms=1, capacity=20)
    notifier = BackgroundNotifier.from_url(url, options=options)

    def work() -> None:
        notifier.enqueue(dict(PLAIN))

    hits = _interrupted(work, lambda _: notifier.enqueue(PLAIN))
    closed = notifier.close(60)
    assert closed.is_clean
    stats = notifier.stats()
    assert not stats.refused, stats
    return {"hits": hits, "left": len(closed.remaining) + len(closed.unknown)}


def _interrupted(work: Callable[[], None], then: Callable[[str], object]) -> int:
    signal.signal(signal.SIGALRM, _raise)
    chance, hits = random.Random(7), 0
    for number in range(_SIGNALS):
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, _LATEST_S))
                # An exception within a __del__ goes no further: then this ends by itself.
                for _ in range(100):
                    work()
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupted:
            hits += 1
        then(f"signal-{number}")
    return hits


def main() -> None:
    """Run what the command line names."""
    what, url = sys.argv[1:]
    # As in every test: no call ends because the machine stands still.
    pytest.MonkeyPatch().setattr(connection, "SOCKET_TIMEOUT_S", HANG_S)
    found = {"lines": lines, "signals": signals, "background": background}[what](url)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
