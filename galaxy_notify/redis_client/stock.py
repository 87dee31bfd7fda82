"""The connections of a pool: those at hand, and how many there may be.

No lock guards them, so none is left held where a signal handler raises: each step is one operation
of the interpreter. What is lent counts for as long as the object lives; one that an interrupted
call dropped is made up for as soon as it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import ref


class Stock:
    """Makes connections up to a limit, and keeps those that nobody uses."""

    def __init__(self, make: Callable[[], Any], most: int) -> None:
        """Prepare an empty stock; *make* returns a connection that is not connected yet."""
        self._make = make
        self._most = most
        self._at_hand: list[Any] = []
        self._living: list[ref[Any]] = []

    def take(self) -> Any | None:
        """Return a connection, the last one that was put back or a new one; None at the limit."""
        try:
            return self._at_hand.pop()
        except IndexError:
            return self._new()

    def put(self, connection: Any) -> None:
        """Keep a connection that is ready for another call."""
        self._at_hand.append(connection)

    def forget(self, connection: Any) -> None:
        """Let another one be made in place of a connection."""
        with suppress(ValueError):
            self._living.remove(ref(connection))

    def empty(self) -> list[Any]:
        """Return all that were at hand; they are no longer."""
        found: list[Any] = []
        with suppress(IndexError):
            while True:
                found.append(self._at_hand.pop())
        return found

    def all(self) -> list[Any]:
        """Return all connections, those that are lent as well."""
        return [one for known in tuple(self._living) if (one := known()) is not None]

    def lent_now(self) -> list[ref[Any]]:
        """Return what may be lent, without keeping it alive."""
        return list(self._living)

    def write_off(self, lent: Sequence[ref[Any]]) -> int:
        """Let others be made in place of what was lent for too long; return how many.

        Nobody uses them: a traceback that somebody keeps holds those of interrupted calls.
        """
        overdue = [one for known in lent if known in self._living and (one := known()) is not None]
        for connection in overdue:
            connection.is_lost = True
            self.forget(connection)
        return len(overdue)

    @property
    def answers(self) -> int:
        """Return a number that changes with each reply that the server gives."""
        return sum(one.answers for one in self.all())

    def _new(self) -> Any | None:
        for known in tuple(self._living):
            if known() is None:
                with suppress(ValueError):
                    self._living.remove(known)
        if len(self._living) >= self._most:
            return None
        connection = self._make()
        mine = ref(connection)
        self._living.append(mine)
        # Of threads that come here at once those go on that came first.
        before = tuple(self._living)
        if sum(one() is not None for one in before[: before.index(mine)]) < self._most:
            return connection
        self.forget(connection)
        return None
