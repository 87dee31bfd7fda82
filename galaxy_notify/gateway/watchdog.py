"""The time limit of tasks that all have the same one."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any


class Watchdog:
    """Cancels tasks that run longer than a limit; one timer serves all of them.

    What begins later ends later, so the timer waits for the task that began first. It is not moved
    when that one ends in time: when it fires, it is set to the end of the first that still runs.
    So a quick handler sets no timer, and each limit is kept exactly.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        #: When the limit of each running task ends, earliest first.
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last_end = inf

    def begin(self) -> asyncio.Task[Any]:
        """Limit the current task from now on, and return it; it must `end` this first."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        end = self._loop.time() + self._limit_s
        self._ends[task] = end = end if end < self._last_end else self._last_end
        if self._timer is None and end < inf:
            self._timer = self._loop.call_at(end, self._look)
        return task

    def end(self, task: asyncio.Task[Any]) -> bool:
        """End the limit; return whether the task was cancelled, and take that cancellation back."""
        del self._ends[task]
        if task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True

    def shorten(self, seconds: float) -> None:
        """End every limit, also of tasks that begin later, *seconds* from now at the latest."""
        last = self._last_end = self._loop.time() + seconds
        self._ends = {task: min(end, last) for task, end in self._ends.items()}
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(last, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, end in self._ends.items():
            if task in self._late:
                continue  # cancelled once; a handler may take its time to end
            if end > now:
                self._timer = self._loop.call_at(end, self._look)
                return
            self._late.add(task)
            task.cancel()
