"""Threads for blocking operations: a pool for each purpose, one connection to the deployment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final, TypeVar

from galaxy_notify.http.responses import redis_faults, unavailable
from galaxy_notify.redis_state.deployment import Deployment, connect
from galaxy_notify.settings import Settings

T = TypeVar("T")

#: The longest wait of an answer; a thread that is still reading then is left to finish.
DEADLINE_S: Final = 10.0


class BlockingPool:
    """The threads of one purpose: bounded in number, in waiting work, and in time."""

    def __init__(
        self, name: str, deployment: Callable[[], Deployment], threads: int, in_hand: int
    ) -> None:
        """Prepare; at most *in_hand* operations run or wait at a time."""
        self.name = name
        self._deployment = deployment
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"galaxy-notify-{name}")
        self._most = in_hand
        self._in_hand = 0

    async def run(self, work: Callable[[Deployment], T]) -> T:
        """Run *work* on the deployment; raise a `Problem` where Redis, or we, cannot."""
        if self._in_hand >= self._most:
            raise unavailable(f"{self._most} {self.name} are already in progress", "busy")
        self._in_hand += 1
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._pool, lambda: work(self._deployment()))
        task.add_done_callback(self._done)
        with redis_faults():
            try:
                return await asyncio.wait_for(asyncio.shield(task), DEADLINE_S)
            except TimeoutError:
                raise unavailable(f"it took more than {DEADLINE_S:g} s") from None

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, task: asyncio.Future[T]) -> None:
        self._in_hand -= 1
        # The error of an operation that took too long may have no reader left.
        if not task.cancelled():
            task.exception()


class BlockingPools:
    """The pools for what blocks: readers take no thread from a probe or from an operator.

    Together they have fewer threads than the connection to the deployment has connections.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is sent before the first call."""
        self._settings = settings
        self._opening = threading.Lock()
        self._opened: Deployment | None = None
        self.probes = BlockingPool("probes", self._deployment, threads=1, in_hand=2)
        self.reads = BlockingPool("reads", self._deployment, threads=4, in_hand=32)
        self.changes = BlockingPool("changes", self._deployment, threads=2, in_hand=16)

    def close(self) -> None:
        """Begin nothing more, and let go of the connection."""
        for pool in (self.probes, self.reads, self.changes):
            pool.close()
        if self._opened is not None:
            self._opened.close()

    def _deployment(self) -> Deployment:
        """Return the deployment that all threads share, opened by the first that needs it."""
        with self._opening:
            if self._opened is None:
                self._opened = connect(self._settings, join=True)
            return self._opened


class Deadline:
    """The time that is left for one operation."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        return monotonic() >= self._end

    def pause(self, seconds: float) -> bool:
        """Wait *seconds*, at most to the end; return whether the time is over."""
        if not self.is_over and seconds:
            threading.Event().wait(min(seconds, max(0.0, self._end - monotonic())))
        return self.is_over
