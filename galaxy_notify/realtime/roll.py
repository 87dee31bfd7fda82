"""The roll of an application's registrations: who is here, and what Redis has not been told yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple


class _Open(NamedTuple):
    """The changes of a user that are not settled: from the first to the last."""

    first: int
    last: int


class Roll:
    """Counts the registrations of users, and numbers their changes.

    A change is settled once presence in Redis says the same. Those of the same user are settled
    together: only whether the user is here counts.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._open: dict[str, _Open] = {}
        self._last = 0

    def __contains__(self, user: str) -> bool:
        return user in self._counts

    @property
    def users(self) -> Sequence[str]:
        """The users with a registration."""
        return tuple(self._counts)

    @property
    def has_open(self) -> bool:
        """Whether some change is not settled."""
        return bool(self._open)

    def add(self, user: str) -> int:
        """Add a registration; return the number of the change."""
        self._counts[user] += 1
        return self._change(user)

    def remove(self, user: str) -> int:
        """Remove a registration; return the number of the change."""
        self._counts[user] -= 1
        if not self._counts[user]:
            del self._counts[user]
        return self._change(user)

    @property
    def known(self) -> Sequence[str]:
        """The users with a registration, and those of whom a change is not settled."""
        return tuple({**self._counts, **self._open})

    def open_changes(self, most: int) -> Mapping[str, int]:
        """Return at most this many users with the numbers of their last changes."""
        return {user: last for user, (_, last) in islice(self._open.items(), most)}

    def settle(self, changes: Mapping[str, int], unless: Iterable[str] = ()) -> None:
        """Note that presence says what the roll said at these changes, but for those users."""
        refused = set(unless)
        for user, number in changes.items():
            found = self._open.get(user)
            if found is None or user in refused:
                continue
            if found.last == number:
                del self._open[user]
            else:
                self._open[user] = _Open(number + 1, found.last)

    def is_settled(self, user: str, number: int) -> bool:
        """Return whether presence has said what a change of a user made of it."""
        found = self._open.get(user)
        return found is None or number < found.first

    def _change(self, user: str) -> int:
        self._last += 1
        found = self._open.get(user)
        self._open[user] = _Open(found.first if found else self._last, self._last)
        return self._last
