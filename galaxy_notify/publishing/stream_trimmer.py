"""Trims the gateway stream of a shard, and logs which groups lost something by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.redis_state.upkeep import GroupTrim, Trimmed, Upkeep

#: A group that goes on losing is logged as often as this.
_LOG_EVERY_S: Final = 60.0


class StreamTrimmer:
    """Trims one stream, pass after pass."""

    def __init__(self, upkeep: Upkeep, log: FilteringBoundLogger) -> None:
        self._upkeep = upkeep
        self._log = log
        self._idle: set[str] = set()
        self._lost: Counter[str] = Counter()
        self._log_at = 0.0

    async def trim(self, group_idle_ms: int) -> Trimmed:
        """Trim once; raises `RedisFault`."""
        trimmed = await self._upkeep.trim(group_idle_ms)
        if trimmed.gone:
            self._log.debug("stream trimmed", entries=trimmed.gone, length=trimmed.length)
        self._note_idle(trimmed.groups)
        self._note_losses(trimmed.groups)
        return trimmed

    def _note_idle(self, groups: Mapping[str, GroupTrim]) -> None:
        for name, group in groups.items():
            if group.verdict == "holds":
                self._idle.discard(name)
            elif group.verdict == "idle" and name not in self._idle:
                self._idle.add(name)
                self._log.warning(
                    "idle group no longer holds trimming", group=name, idle_ms=group.idle_ms
                )

    def _note_losses(self, groups: Mapping[str, GroupTrim]) -> None:
        self._lost.update({name: group.lost for name, group in groups.items() if group.lost})
        if not self._lost or monotonic() < self._log_at:
            return
        for name, entries in self._lost.items():
            self._log.warning("group lost entries to trimming", group=name, entries=entries)
        self._lost.clear()
        self._log_at = monotonic() + _LOG_EVERY_S
