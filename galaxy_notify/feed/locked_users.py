"""Users whose lock another transaction holds: their events wait, those of others do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from galaxy_notify.backoff import OutageBackoff

_SHORTEST_MS: Final = 500
_LONGEST_MS: Final = 5000


@dataclass
class _Rest:
    until: float
    backoff: OutageBackoff


@dataclass
class LockedUsers:
    """Knows which users were found locked, and when each may be tried again."""

    clock: Callable[[], float] = monotonic
    _rests: dict[str, _Rest] = field(default_factory=dict, init=False)

    def __contains__(self, user: str) -> bool:
        return user in self._rests

    def is_due(self, user: str) -> bool:
        """Return whether a locked user may be tried again."""
        return self._rests[user].until <= self.clock()

    def add(self, users: Iterable[str]) -> None:
        """Record users that were found locked, once more or for the first time."""
        for user in users:
            rest = self._rests.get(user)
            backoff = rest.backoff if rest else OutageBackoff(_SHORTEST_MS, _LONGEST_MS)
            self._rests[user] = _Rest(self.clock() + backoff.next() / 1000, backoff)

    def discard(self, users: Iterable[str]) -> None:
        """Forget users that were not locked."""
        for user in users:
            self._rests.pop(user, None)
