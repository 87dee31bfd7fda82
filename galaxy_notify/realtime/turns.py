"""Turns: a bounded number of calls at the same time, so that a slow server fills no memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.web.problems import Problem, retry_after

#: How long a change waits for an earlier one of its user.
_PATIENCE_S: Final = 10.0


class _User:
    """The calls of one user: how many there are, and what its changes wait for."""

    __slots__ = ("calls", "changing")

    def __init__(self) -> None:
        self.calls = 0
        self.changing = asyncio.Lock()


class Turns:
    """At most *most* calls, *most_of_user* of them of one user.

    Where half of all are there, a user has an eighth of its own: a few users keep out no other.

    The changes of a user follow one another. So a user whose rows are locked keeps one connection,
    and never those of all others.
    """

    def __init__(self, most: int, most_of_user: int) -> None:
        self._most = most
        self._most_of_user = most_of_user
        self._calls = 0
        self._users: dict[str, _User] = {}

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[None]:
        """Hold a turn; raise a `Problem` (503) where none is free."""
        user = self._users.get(name) or _User()
        is_crowded = self._calls >= self._most // 2
        own = max(1, self._most_of_user // 8) if is_crowded else self._most_of_user
        if self._calls >= self._most or user.calls >= own:
            raise _busy()
        self._users[name] = user
        self._calls += 1
        user.calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            user.calls -= 1
            if not user.calls:
                del self._users[name]

    @asynccontextmanager
    async def changing(self, name: str) -> AsyncIterator[None]:
        """Hold a turn behind earlier changes of the user; raise a `Problem` (503)."""
        async with self.reading(name):
            lock = self._users[name].changing
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await lock.acquire()
            except TimeoutError:
                raise _busy() from None
            try:
                yield
            finally:
                lock.release()


def _busy() -> Problem:
    return Problem("busy", "too many requests at the same time", (), retry_after(retry_ms()))
