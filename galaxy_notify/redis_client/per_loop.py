"""What belongs to one event loop, for objects that are used in several."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

#: This many calls begin before what has arrived meanwhile is read; they take a few milliseconds.
_AT_ONCE: Final = 64


class PerLoop(Generic[T]):
    """Makes one thing for each event loop, and forgets those of loops that are closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """Return that of the running loop."""
        loop = asyncio.get_running_loop()
        found = self._made.get(loop)
        if found is None:
            for other in [other for other in list(self._made) if other.is_closed()]:
                self._made.pop(other, None)
            found = self._made[loop] = self._make()
        return found


class Pace:
    """Lets calls begin a few at a time, in the order in which they came.

    Thousands that begin at once would keep the loop busy until the replies to the first of them,
    which have long arrived, count as late. It belongs to the loop in which it is made.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._line: deque[asyncio.Future[None]] = deque()
        self._begun = 0

    async def turn(self) -> None:
        """Return when it is the caller's turn to begin; at once where few do."""
        if self._begun < _AT_ONCE and not self._line:
            if not self._begun:
                self._loop.call_soon(self._next)
            self._begun += 1
            return
        turn = self._loop.create_future()
        self._line.append(turn)
        await turn

    def _next(self) -> None:
        self._begun = 0
        while self._line and self._begun < _AT_ONCE:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            self._loop.call_soon(self._next)


class Together(Generic[T]):
    """Runs one piece of work for all who want it at the same time in one loop."""

    def __init__(self) -> None:
        self._task: asyncio.Future[T] | None = None

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the work; a caller that stops waiting does not end it."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(work())
            self._task.add_done_callback(_noted)
        return await asyncio.shield(self._task)


def _noted(task: asyncio.Future[Any]) -> None:
    """Read an error for which no caller may be waiting any more."""
    if not task.cancelled():
        task.exception()
