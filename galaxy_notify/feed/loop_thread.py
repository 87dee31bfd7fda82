"""An event loop in a thread of its own, for callers without one."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, Generic, Protocol, TypeVar

from galaxy_notify.errors import AlreadyClosed

T = TypeVar("T")

#: How long the end waits for calls in flight; each of them is bounded by itself.
_END_S: Final = 15.0
_ANSWERS_S: Final = 1.0
_THREAD: Final = "galaxy-notify-feed"
#: What a forked child has of its parent: freed there, it would end connections of the parent.
_OF_PARENT: Final[list[Any]] = []


class Closable(Protocol):
    """What is made in the loop, and closed in it."""

    async def close(self) -> None: ...


W = TypeVar("W", bound=Closable)


class LoopThread(Generic[W]):
    """Makes a worker in a loop of its own at the first call, and runs calls of it there.

    Safe to share between threads. A caller that is interrupted, such as by Ctrl-C, leaves its call
    in flight; it is completed. After a fork the child begins with a worker of its own.
    """

    def __init__(self, name: str, make: Callable[[], W]) -> None:
        """Prepare; nothing is started before the first call."""
        self._name = name
        self._make = make
        self._lock = threading.Lock()
        self._running: _Running[W] | None = None
        self._is_closed = False
        _LOOPS.add(self)

    def call(self, call: Callable[[W], Coroutine[Any, Any, T]]) -> T:
        """Return what a call of the worker returns, or raise what it raises.

        Raises `AlreadyClosed` after `close`, and `RuntimeError` inside another call.
        """
        waiting = self._begun().submit(call)
        if waiting is None:  # closed meanwhile
            raise AlreadyClosed.named(self._name)
        return waiting.result()

    def close(self) -> None:
        """End the calls in flight, the worker and the thread; again does nothing."""
        with self._lock:
            self._is_closed = True
            running, self._running = self._running, None
        if running is not None:
            running.end()

    def _begun(self) -> _Running[W]:
        with self._lock:
            if self._is_closed:
                raise AlreadyClosed.named(self._name)
            if self._running is None:
                self._running = _Running(self._make)
                # Where nobody has closed it, and it is not there any more.
                forgotten = weakref.finalize(self, _end_own, self._running, os.getpid())
                forgotten.atexit = False
            return self._running

    def _forget_after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._running is not None:
            _OF_PARENT.append(self._running)
            self._running = None


class _Running(Generic[W]):
    """A thread that runs a loop with a worker, from here to `end`."""

    def __init__(self, make: Callable[[], W]) -> None:
        self._loop = asyncio.new_event_loop()
        self._make = make
        self._worker: W | None = None
        # No call may be handed to a loop that has stopped: its caller would wait for ever.
        self._handing = threading.Lock()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name=_THREAD, daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[W], Coroutine[Any, Any, T]]) -> Future[T] | None:
        """Hand a call to the loop; return None if it ends."""
        if self._is_own_thread:
            raise RuntimeError("called from inside one of its own calls")
        with self._handing:
            if self._is_ending:
                return None
            return asyncio.run_coroutine_threadsafe(self._called(call), self._loop)

    def end(self) -> None:
        """Close the worker, then end the thread; wait for that, for seconds at most."""
        with self._handing:
            if not self._is_ending:
                self._is_ending = True
                asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
        # The loop itself may free the last reference to its owner.
        if not self._is_own_thread:
            self._thread.join(_END_S)

    @property
    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _called(self, call: Callable[[W], Awaitable[T]]) -> T:
        if self._worker is None:
            self._worker = self._make()
        return await call(self._worker)

    async def _finish(self) -> None:
        try:
            if self._worker is not None:
                await self._worker.close()
            # Their answers are on the way to their callers.
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others, timeout=_ANSWERS_S)
        finally:
            self._loop.stop()


def _end_own(running: _Running[Any], pid: int) -> None:
    if os.getpid() == pid:
        running.end()


_LOOPS: weakref.WeakSet[LoopThread[Any]] = weakref.WeakSet()


def _forget_all_after_fork() -> None:
    for one in list(_LOOPS):
        one._forget_after_fork()


os.register_at_fork(after_in_child=_forget_all_after_fork)


def _close_all() -> None:
    for one in list(_LOOPS):
        one.close()


# Registered with the import: what was registered later, such as the end of a queue in front of a
# feed, comes first.
atexit.register(_close_all)
