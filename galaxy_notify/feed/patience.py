"""Entries whose item is not in the feed yet: when to look again, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from time import monotonic
from typing import Final

_FIRST_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
#: What the pauses of an entry amount to before it is given up.
LONGEST_S: Final = 600.0
#: Entries that wait at a time.
MOST: Final = 10_000


@dataclass
class _Wait:
    pause_s: float
    due_at: float
    #: The pauses of this entry, together.
    spent_s: float


@dataclass
class Patience:
    """Knows which entries wait. Each is looked for again after 1 s, then after growing pauses.

    What counts is the sum of an entry's pauses, so an outage between two of them costs nothing.
    """

    clock: Callable[[], float] = monotonic
    longest_s: float = LONGEST_S
    most: int = MOST
    #: Entries in the order in which they were missed first.
    _waits: dict[str, _Wait] = field(default_factory=dict, init=False)
    #: When an entry is due; those of entries that wait no more, or until later, say nothing.
    _due: list[tuple[float, str]] = field(default_factory=list, init=False)

    @property
    def waiting(self) -> list[str]:
        """Return the entries that wait, those that were missed first before the others."""
        return list(self._waits)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._waits) >= self.most

    def due(self, most: int) -> list[str]:
        """Return entries to look for now; each is due again once it is missed again."""
        found: list[str] = []
        now = self.clock()
        while self._due and self._due[0][0] <= now and len(found) < most:
            due_at, stream_id = heappop(self._due)
            wait = self._waits.get(stream_id)
            if wait is not None and wait.due_at == due_at:
                found.append(stream_id)
        return found

    def missed(self, stream_ids: Iterable[str], *, spends: bool) -> list[str]:
        """Let entries wait whose item was not there; return those that are given up.

        Unless it *spends*, the next pause does not count, because the items are on their way. If it
        does, and more entries wait than may, each new one takes the place of the first.
        """
        ended: list[str] = []
        before = len(self._waits)
        for stream_id in stream_ids:
            wait = self._waits.get(stream_id)
            if wait is not None and wait.spent_s >= self.longest_s:
                ended.append(stream_id)
            else:
                self._wait(stream_id, wait, spends=spends)
        new = len(self._waits) - before
        self.forget(ended)
        over = min(new, len(self._waits) - self.most)
        extra = list(self._waits)[:over] if spends and over > 0 else []
        self.forget(extra)
        return ended + extra

    def forget(self, stream_ids: Iterable[str]) -> None:
        """Forget entries that have come to an end, or that another writer has."""
        for stream_id in stream_ids:
            self._waits.pop(stream_id, None)

    def _wait(self, stream_id: str, wait: _Wait | None, *, spends: bool) -> None:
        pause_s = min(2 * wait.pause_s, _LONGEST_PAUSE_S) if wait else _FIRST_S
        spent_s = (wait.spent_s if wait else 0.0) + (pause_s if spends else 0.0)
        due_at = self.clock() + pause_s
        self._waits[stream_id] = _Wait(pause_s, due_at, spent_s)
        heappush(self._due, (due_at, stream_id))
