"""What telemetry is told of a background notifier."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.telemetry import Telemetry

_EVERY_S: Final = 1.0


class Reporter:
    """Tells once a second what was dropped and what waits; what was answered, with each batch."""

    def __init__(self, telemetry: Telemetry, queue: BoundedQueue) -> None:
        """Begin with nothing told."""
        self._telemetry, self._queue = telemetry, queue
        self._told: Counter[str] = Counter()
        self._told_at = 0.0

    def answered(self, answers: Mapping[str, int], refused: Mapping[str, int]) -> None:
        """Count what a batch became."""
        self._telemetry.accepted(answers.get("accepted", 0), {}, answers.get("duplicate", 0))
        for code, count in refused.items():
            self._telemetry.refused(code, count)

    def report(self, *, now: bool = False) -> None:
        """Tell, unless it was told within the last second."""
        if not now and time.monotonic() - self._told_at < _EVERY_S:
            return
        self._told_at = time.monotonic()
        stats = self._queue.stats()
        dropped = Counter(stats.dropped)
        waiting = {"queued": stats.queued, "spilled": stats.spilled, "in flight": stats.in_flight}
        self._telemetry.background(dropped - self._told, waiting)
        self._told = dropped
