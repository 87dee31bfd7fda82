"""The check of all state at a low rate: what ``fsck`` finds, a page now and then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.fsck.faults import Fault, Looked, Mending
from galaxy_notify.fsck.shard import Page, ShardCheck
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.upkeep import Upkeep
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

#: What the state of a route, or a count of them, decides beyond doubt. The rest tells of data that
#: is gone or not ours: an operator should see it before it is buried or counted off.
MENDED: Final = frozenset(
    {
        *("already-ended", "early", "endless", "expires", "late", "long-lease", "miscounted"),
        *("not-dead", "not-listed", "not-scheduled", "scheduled-dead", "stray-count"),
        *("wrong-channel", "wrong-time"),
    }
)


class Scrubber:
    """Checks one shard round after round; each kind of fault is logged once a round at most."""

    def __init__(
        self, upkeep: Upkeep, worker_id: str, log: FilteringBoundLogger, telemetry: Telemetry
    ) -> None:
        self._upkeep = upkeep
        self._mending = Mending(worker_id, fix=True, codes=MENDED)
        self._log = log
        self._telemetry = telemetry
        self._refused = EdgeLog(log, "state not checked", "state checked again")
        self._pages: Iterator[Page] | None = None
        self._looked = Looked()
        self._told: set[str] = set()
        self._told_before: set[str] = set()

    @property
    def is_at_work(self) -> bool:
        """Tell whether a round was begun and is not over."""
        return self._pages is not None

    def drop(self) -> None:
        """Forget the round in hand: what was seen of it may not hold any more."""
        self._pages = None

    async def page(self) -> None:
        """Look at the next page, the first of a new round where none is in hand.

        Raises `RedisFault`; without the permission it says so once, and nothing else suffers.
        """
        page = self._next()
        if page is None:
            self._end()
            return
        try:
            await self._upkeep.check(page())
        except RedisFault as error:
            self.drop()
            if error.fault.remedy is not Remedy.CONFIGURE:
                raise
            self._refused.down(error.fault.code, error.fault.text)

    def _next(self) -> Page | None:
        if self._pages is None:
            self._looked, self._told = Looked(), set()
            keys, deployment = self._upkeep.keys, self._upkeep.deployment
            check = ShardCheck(keys, deployment, self._mending, self._tell, self._looked)
            self._pages = check.pages()
        return next(self._pages, None)

    def _end(self) -> None:
        looked = self._looked
        self._refused.up()
        self._log.debug("state checked", notifications=looked.notifications, routes=looked.routes)
        self._told_before = self._told
        self.drop()

    def _tell(self, fault: Fault) -> None:
        is_mended = fault.became == "mended"
        self._telemetry.fault(fault.code, "mended" if is_mended else "left")
        if fault.code in self._told:
            return
        self._told.add(fault.code)
        if is_mended:
            self._log.warning(
                "fault mended", code=fault.code, subject=fault.subject, what=fault.what
            )
        elif fault.code not in self._told_before:
            self._log.warning("fault left", code=fault.code, subject=fault.subject, what=fault.what)
