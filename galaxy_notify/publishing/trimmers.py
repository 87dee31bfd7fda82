"""Trims the gateway stream of a shard and its list of accepted notifications, in pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_state.janitor_store import GroupTrim, JanitorStore, Trimmed
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry.outage import EdgeLog

#: Seconds between two log lines about entries that groups lose.
_LOG_EVERY_S: Final = 60.0
#: Seconds between two passes over the list, while routes move and on an idle shard.
_AT_WORK_S: Final = 1.0
_IDLE_S: Final = 60.0
_PAGES: Final = 4


class StreamTrimmer:
    """Trims one stream, and logs the groups that lost entries by it."""

    def __init__(self, store: JanitorStore, log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log
        self._idle: set[str] = set()
        self._lost: Counter[str] = Counter()
        self._log_at = 0.0

    async def trim(self, group_idle_ms: int) -> Trimmed:
        """Trim once; raises `RedisFault`."""
        trimmed = await self._store.trim(group_idle_ms)
        if trimmed.gone:
            self._log.debug("stream trimmed", entries=trimmed.gone, length=trimmed.length)
        self._note_idle(trimmed.groups)
        self._note_losses(trimmed.groups)
        return trimmed

    def _note_idle(self, groups: Mapping[str, GroupTrim]) -> None:
        for name, group in groups.items():
            if group.verdict == Word.HOLDS:
                self._idle.discard(name)
            elif group.verdict == Word.IDLE and name not in self._idle:
                self._idle.add(name)
                self._log.warning(
                    "idle group no longer blocks trimming", group=name, idle_ms=group.idle_ms
                )

    def _note_losses(self, groups: Mapping[str, GroupTrim]) -> None:
        self._lost.update({name: group.lost for name, group in groups.items() if group.lost})
        if not self._lost or monotonic() < self._log_at:
            return
        for name, entries in self._lost.items():
            self._log.warning("group lost entries to trimming", group=name, entries=entries)
        self._lost.clear()
        self._log_at = monotonic() + _LOG_EVERY_S


class AcceptedListTrimmer:
    """Trims the list of accepted notifications of one shard, the oldest first."""

    def __init__(self, store: JanitorStore, state: ShardState, log: FilteringBoundLogger) -> None:
        self._store = store
        self._state = state
        self._log = log
        self._refused = EdgeLog(log, "list trimming failed", "list trimming resumed")
        self._start = "-"
        self._looked_at = monotonic()
        self._settled_before = 0

    async def trim(self) -> bool:
        """Trim some pages if they are due; return whether there is more to do at once.

        Raises `RedisFault`; a list that cannot be changed is only logged, once.
        """
        worked = self._state.batches_settled > self._settled_before
        if monotonic() - self._looked_at < (_AT_WORK_S if worked else _IDLE_S):
            return False
        self._looked_at = monotonic()
        try:
            return await self._trim(worked=worked)
        except RedisFault as error:
            if error.fault.remedy is not Remedy.CONFIGURE and error.fault.code != "WRONGTYPE":
                raise
            self._refused.down(error.fault.code, error.fault.text)
            return False

    async def _trim(self, *, worked: bool) -> bool:
        gone, self._settled_before = 0, self._state.batches_settled
        for _ in range(_PAGES):
            page = await self._store.delist(self._start)
            gone += page.gone
            self._start = page.start or "-"
            # Notifications that end together were accepted together: more of them follow.
            goes_on = bool(page.start) and 2 * page.gone >= page.looked
            if not page.start or not (goes_on or worked):
                break
        self._refused.up()
        if gone:
            self._log.debug("list trimmed", entries=gone)
        if goes_on:
            self._looked_at = 0.0
        return goes_on
