"""Log an outage at its edges, not with every attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Producers load this file, and never structlog.
    from structlog.typing import FilteringBoundLogger

REMIND_S: Final = 60.0
_CODES_KEPT: Final = 20


class EdgeLog:
    """Logs when something goes down, when the reason changes, once a minute, and when it is back.

    A code that was logged in this outage is not logged again before the next reminder.
    """

    def __init__(
        self,
        logger: FilteringBoundLogger,
        down_event: str = "redis unavailable",
        up_event: str = "redis available again",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._down_event = down_event
        self._up_event = up_event
        self._clock = clock
        self._since: float | None = None
        self._logged_at = 0.0
        self._logged_codes: set[str] = set()
        self._failures = 0

    @property
    def is_down(self) -> bool:
        """Whether the outage goes on."""
        return self._since is not None

    def down(self, code: str, reason: str = "") -> bool:
        """Record a failure; return whether it was logged."""
        now = self._clock()
        self._failures += 1
        if self._since is None:
            self._since = now
        elif not self._is_due(code, now):
            return False
        self._logged_at = now
        self._logged_codes.add(code)
        self._logger.warning(
            self._down_event,
            code=code,
            reason=reason,
            down_s=round(now - self._since, 3),
            failures=self._failures,
        )
        return True

    def up(self) -> float | None:
        """Record a success; return the seconds of the outage that it ended, if any."""
        if self._since is None:
            return None
        down_s = round(self._clock() - self._since, 3)
        self._logger.info(self._up_event, down_s=down_s, failures=self._failures)
        self._since = None
        self._logged_codes.clear()
        self._failures = 0
        return down_s

    def _is_due(self, code: str, now: float) -> bool:
        new = code not in self._logged_codes and len(self._logged_codes) < _CODES_KEPT
        return new or now - self._logged_at >= REMIND_S
