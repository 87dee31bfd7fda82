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


class _SharedConnection:
    """The connection that all threads share: opened once, by the first that needs it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = threading.Lock()
        self._deployment: Deployment | None = None

    def opened(self) -> Deployment:
        with self._opening:
            if self._deployment is None:
                self._deployment = connect(self._settings, join=True)
            return self._deployment

    def close(self) -> None:
        if self._deployment is not None:
            self._deployment.close()


class BlockingPool:
    """The threads of one purpose: bounded in number, in waiting work, and in time."""

    def __init__(
        self, name: str, connection: _SharedConnection, threads: int, in_hand: int
    ) -> None:
        """Prepare; at most *in_hand* operations run or wait at a time."""
        self.name = name
        self._connection = connection
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"galaxy-notify-{name}")
        self._most = in_hand
        self._in_hand = 0

    async def run(self, work: Callable[[Deployment], T]) -> T:
        """Run *work* on the deployment; raise a `Problem` where Redis, or we, cannot."""
        if self._in_hand >= self._most:
            raise unavailable(f"{self._most} {self.name} are already in progress", "busy")
        self._in_hand += 1
        task = asyncio.get_running_loop().run_in_executor(self._pool, self._work, work)
        task.add_done_callback(self._done)
        with redis_faults():
            try:
                return await asyncio.wait_for(asyncio.shield(task), DEADLINE_S)
            except TimeoutError:
                raise unavailable(f"it took more than {DEADLINE_S:g} s") from None

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, work: Callable[[Deployment], T]) -> T:
        return work(self._connection.opened())

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
        self._connection = _SharedConnection(settings)
        self.probes = BlockingPool("probes", self._connection, threads=1, in_hand=2)
        self.reads = BlockingPool("reads", self._connection, threads=4, in_hand=32)
        self.changes = BlockingPool("changes", self._connection, threads=2, in_hand=16)

    def close(self) -> None:
        """Begin nothing more, and let go of the connection."""
        for pool in (self.probes, self.reads, self.changes):
            pool.close()
        self._connection.close()


class Deadline:
    """The time that is left for one operation."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Return whether no time is left."""
        return monotonic() >= self._end

    def pause(self, seconds: float) -> bool:
        """Wait *seconds*, at most to the end; return whether the time is over."""
        if not self.is_over and seconds:
            threading.Event().wait(min(seconds, max(0.0, self._end - monotonic())))
        return self.is_over
