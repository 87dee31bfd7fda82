"""A counter for what happens with every request."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from opentelemetry.metrics import Counter


class DeferredCounter:
    """Adds up by itself, and hands its sums to OpenTelemetry when something reads them.

    The SDK takes several microseconds for each count, as long as parsing a whole request. The first
    count of each set of attributes goes there at once, since their time series begins with it.
    """

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._lock = threading.Lock()
        self._waiting: dict[tuple[tuple[str, str], ...], int] = {}

    def add(self, count: int, attributes: Mapping[str, str]) -> None:
        """Count; there must be a bound on the number of different *attributes*."""
        key = tuple(attributes.items())
        with self._lock:
            if key in self._waiting:
                self._waiting[key] += count
                return
            self._waiting[key] = 0
        self._counter.add(count, attributes)

    def flush(self) -> None:
        """Hand on what was counted since the last time."""
        with self._lock:
            due = [(key, count) for key, count in self._waiting.items() if count]
            self._waiting.update((key, 0) for key, _ in due)
        for key, count in due:
            self._counter.add(count, dict(key))
