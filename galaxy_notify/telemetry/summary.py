"""Counts of work that is done many times a second, for one line in the log a second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

#: The least time between two lines, in seconds.
PERIOD_S: Final = 1.0


class Summary:
    """Sums up batches until a line is due; the first batch after a pause is due at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any batch; *clock* returns seconds."""
        self._clock = clock
        self._logged_at = float("-inf")
        self._counts: Counter[str] = Counter()
        self._batches = 0
        #: The largest lateness of a route, in seconds.
        self.latest_s = 0.0

    def add(self, counts: Mapping[str, int], latest_s: float = 0.0) -> None:
        """Add what became of one batch."""
        self._counts.update(counts)
        self._batches += 1
        self.latest_s = max(self.latest_s, latest_s)

    def is_due(self, *, at_end: bool = False) -> bool:
        """Return whether there is something to log, and the last line is a second old.

        *at_end* does not wait for the second.
        """
        return self._batches > 0 and (at_end or self._clock() - self._logged_at >= PERIOD_S)

    def take(self) -> dict[str, int]:
        """Return the sums with the number of batches, and begin again."""
        taken = {"batches": self._batches, **self._counts}
        self._logged_at = self._clock()
        self._counts.clear()
        self._batches, self.latest_s = 0, 0.0
        return taken
