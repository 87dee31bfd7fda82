"""The check of all state at a low rate: the findings of ``fsck``, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.fsck.faults import Inconsistency, Looked, RepairScope
from galaxy_notify.fsck.shard import Page, ShardCheck
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.telemetry.outage import EdgeLog

#: Faults for which the state of a route, or a count, has one certain repair. The others mean lost
#: or foreign data: an operator should see them before a repair.
REPAIRED: Final = frozenset(
    {
        *("already-ended", "early", "endless", "expires", "late", "long-lease", "miscounted"),
        *("not-dead", "not-listed", "not-scheduled", "scheduled-dead", "stray-count"),
        *("wrong-channel", "wrong-time"),
    }
)
# While routes move, each pass of the janitor checks a page; an idle shard is checked rarely.
_PAGE_AT_WORK_S: Final = 1.0
_PAGE_EVERY_S: Final = 10.0
_ROUND_EVERY_S: Final = 600.0
_FIRST_ROUND_S: Final = 120.0


class StateCheck:
    """Checks one shard, round after round; each code of fault is logged at most once a round."""

    def __init__(self, store: JanitorStore, state: ShardState, log: FilteringBoundLogger) -> None:
        self._store = store
        self._state = state
        self._repair = RepairScope(state.publisher.policy.worker_id, fix=True, codes=REPAIRED)
        self._log = log
        self._refused = EdgeLog(log, "state check unavailable", "state check resumed")
        self._pages: Iterator[Page] | None = None
        self._counts = Looked()
        self._logged: set[str] = set()
        self._logged_before: set[str] = set()
        self._settled_before = 0
        self._page_due = monotonic() + _FIRST_ROUND_S

    @property
    def is_in_round(self) -> bool:
        """Whether a round is in progress."""
        return self._pages is not None

    def drop_round(self) -> None:
        """Drop the current round: its findings may be outdated."""
        self._pages = None

    def start_over(self) -> None:
        """Start a new round some time after an outage."""
        self.drop_round()
        self._page_due = monotonic() + _FIRST_ROUND_S

    async def page_if_due(self) -> None:
        """Check a page of the state, if one is due; raises `RedisFault`."""
        settled = self._state.batches_settled
        worked = settled > self._settled_before
        sooner = _PAGE_EVERY_S - _PAGE_AT_WORK_S if worked and self.is_in_round else 0.0
        if monotonic() + sooner < self._page_due:
            return
        self._settled_before = settled
        await self.page()
        every = _PAGE_EVERY_S if self.is_in_round else _ROUND_EVERY_S
        self._page_due = monotonic() + every

    async def page(self) -> None:
        """Check the next page, or the first one of a new round.

        Raises `RedisFault`; a missing permission is only logged, once.
        """
        page = self._next()
        if page is None:
            self._end()
            return
        try:
            await self._store.check(page())
        except RedisFault as error:
            self.drop_round()
            if error.fault.remedy is not Remedy.CONFIGURE:
                raise
            self._refused.down(error.fault.code, error.fault.text)

    def _next(self) -> Page | None:
        if self._pages is None:
            self._counts, self._logged = Looked(), set()
            keys, shared = self._store.keys, self._store.shared
            check = ShardCheck(keys, shared, self._repair, self._note, self._counts)
            self._pages = check.pages()
        return next(self._pages, None)

    def _end(self) -> None:
        counts = self._counts
        self._refused.up()
        self._log.debug("state checked", notifications=counts.notifications, routes=counts.routes)
        self._logged_before = self._logged
        self.drop_round()

    def _note(self, fault: Inconsistency) -> None:
        is_repaired = fault.became == "mended"
        self._state.publisher.telemetry.fault(fault.code, "mended" if is_repaired else "left")
        if fault.code in self._logged:
            return
        self._logged.add(fault.code)
        if is_repaired:
            self._log.warning(
                "inconsistency repaired", code=fault.code, subject=fault.subject, what=fault.what
            )
        elif fault.code not in self._logged_before:
            self._log.warning(
                "inconsistency not repaired",
                code=fault.code,
                subject=fault.subject,
                what=fault.what,
            )
