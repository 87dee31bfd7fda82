"""Calls that block, in threads that nothing waits for, not even the end of the process."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class DaemonThreads(Generic[T]):
    """Runs calls of one event loop, each in a thread of its own, at most so many at a time.

    The executors of the standard library are joined when the process ends, and so would a call that
    never returns be. A thread costs some 100 microseconds, far less than what is called here.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._running = 0

    def start(self, call: Callable[[], T]) -> asyncio.Future[T] | None:
        """Begin a call, and return a future for its result; None if all threads are in use.

        The call must not raise. Raises `OSError` if this machine has no more threads.
        """
        if self._running >= self._most:
            return None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            result = call()
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._ended, future, result)

        try:
            threading.Thread(target=run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            raise OSError(errno.EAGAIN, str(error)) from None
        self._running += 1
        return future

    def _ended(self, future: asyncio.Future[T], result: T) -> None:
        self._running -= 1
        if not future.done():
            future.set_result(result)
