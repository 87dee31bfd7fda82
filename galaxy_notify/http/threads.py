"""The synchronous operations, in a few threads that share one connection to the deployment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final, TypeVar

from galaxy_notify.http.problems import redis_faults, unavailable
from galaxy_notify.redis_state.place import Place, open_place
from galaxy_notify.settings import Settings

T = TypeVar("T")

#: A connection has as many at hand.
_THREADS: Final = 8
_IN_HAND: Final = 64
#: No answer waits longer; what only reads on is left to its end.
DEADLINE_S: Final = 10.0


class Threads:
    """Runs what blocks, never without bound: in number, in waiting, in time."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is sent before the first call."""
        self._settings = settings
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="galaxy-notify-http")
        self._opening = threading.Lock()
        self._place: Place | None = None
        self._in_hand = 0

    async def run(self, work: Callable[[Place], T]) -> T:
        """Run *work* on the deployment; raise a `Problem` where Redis, or we, cannot."""
        if self._in_hand >= _IN_HAND:
            raise unavailable(f"{_IN_HAND} operations are in hand", "busy")
        self._in_hand += 1
        task = asyncio.get_running_loop().run_in_executor(self._pool, self._work, work)
        task.add_done_callback(self._done)
        with redis_faults():
            try:
                return await asyncio.wait_for(asyncio.shield(task), DEADLINE_S)
            except TimeoutError:
                raise unavailable(f"it took more than {DEADLINE_S:g} s") from None

    def close(self) -> None:
        """Begin nothing more, and let go of the connection."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._place is not None:
            self._place.close()

    def _work(self, work: Callable[[Place], T]) -> T:
        return work(self._opened())

    def _opened(self) -> Place:
        with self._opening:
            if self._place is None:
                self._place = open_place(self._settings, join=True)
            return self._place

    def _done(self, task: asyncio.Future[T]) -> None:
        self._in_hand -= 1
        # Nobody may be left to ask for the error of one that took too long.
        if not task.cancelled():
            task.exception()


class Clock:
    """The time that is left for one operation."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Tell whether there is none left."""
        return monotonic() >= self._end

    def pause(self, seconds: float) -> bool:
        """Wait so long; True where the time is over."""
        if not self.is_over and seconds:
            threading.Event().wait(min(seconds, max(0.0, self._end - monotonic())))
        return self.is_over
