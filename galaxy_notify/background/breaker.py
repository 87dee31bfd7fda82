"""When to try Redis again after it failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Final

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.telemetry.outage import EdgeLog

# Between two tries are always so many: Redis sees two connections a second at most.
_LEAST_MS: Final = 500
_MINIMUM_MS: Final = 100
_MAXIMUM_MS: Final = 4500


class Breaker:
    """Opens with a failure, for 0.5 s to 5 s, growing; then one batch is the test.

    What fails is told at the edges of the outage, not with each try.
    """

    def __init__(
        self,
        log: EdgeLog,
        clock: Callable[[], float] = time.monotonic,
        rng: Random | None = None,
    ) -> None:
        """Begin closed."""
        self._log, self._clock = log, clock
        self._backoff = OutageBackoff(_MINIMUM_MS, _MAXIMUM_MS, rng)
        self._until = 0.0

    def left_s(self) -> float:
        """Return how long it is still open; 0 when the next batch may be sent."""
        return max(0.0, self._until - self._clock()) if self._log.is_down else 0.0

    def failed(self, code: str, reason: str) -> bool:
        """Open it; True if that was told."""
        self._until = self._clock() + (_LEAST_MS + self._backoff.next()) / 1000
        return self._log.down(code, reason)

    def succeeded(self) -> None:
        """Close it."""
        if self._log.is_down:
            self._backoff.reset()
            self._log.up()
