"""Trims the list of what was accepted with what it names, a page now and then."""

from __future__ import annotations

from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.upkeep import Upkeep
from galaxy_notify.telemetry.outage import EdgeLog

#: While routes move some pages go with each pass; an idle shard is hardly looked at.
_AT_WORK_S: Final = 1.0
_IDLE_S: Final = 60.0
_PAGES: Final = 4


class ListTrimmer:
    """Goes through the list of one shard, the oldest first, round after round."""

    def __init__(self, upkeep: Upkeep, log: FilteringBoundLogger) -> None:
        self._upkeep = upkeep
        self._log = log
        self._refused = EdgeLog(log, "list not trimmed", "list trimmed again")
        self._start = "-"
        self._looked_at = monotonic()
        self._worked = False

    def saw_work(self) -> None:
        """Note that routes move, so that a little more work is none to speak of."""
        self._worked = True

    async def trim(self) -> bool:
        """Look at some pages if it is time; tell whether there is more to do at once.

        Raises `RedisFault`; where the list cannot be touched it says so once, and nothing else
        suffers.
        """
        if monotonic() - self._looked_at < (_AT_WORK_S if self._worked else _IDLE_S):
            return False
        self._looked_at = monotonic()
        try:
            return await self._trim()
        except RedisFault as error:
            if error.fault.remedy is not Remedy.CONFIGURE and error.fault.code != "WRONGTYPE":
                raise
            self._refused.down(error.fault.code, error.fault.text)
            return False

    async def _trim(self) -> bool:
        gone, worked = 0, self._worked
        self._worked = False
        for _ in range(_PAGES):
            page = await self._upkeep.delist(self._start)
            gone += page.gone
            self._start = page.start or "-"
            # What goes together was accepted together: more of it follows.
            goes_on = bool(page.start) and 2 * page.gone >= page.looked
            if not page.start or not (goes_on or worked):
                break
        self._refused.up()
        if gone:
            self._log.debug("list trimmed", entries=gone)
        if goes_on:
            self._looked_at = 0.0
        return goes_on
