"""Loops that make a call until Redis answers or they are stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Final, TypeVar

from galaxy_notify.redis_client.faults import Fault, RedisFault
from galaxy_notify.redis_client.retries import USUAL, OutageLog, Retry, RetryPolicy, Stagger

T = TypeVar("T")
_SLICE_S: Final = 1.0


class Stopped(Exception):
    """We stop and Redis does not answer: leave things to the next delivery."""


class StopFlag:
    """Ends every loop of a process; nothing in flight is cancelled."""

    def __init__(
        self, alive: Callable[[], object] = bool, event: asyncio.Event | None = None
    ) -> None:
        """Prepare; *alive* is called at least once a second while a loop waits for the end.

        *event* is the process's own, where only one of its parts is watched by *alive*.
        """
        self._event = event or asyncio.Event()
        self._alive = alive

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    def beat(self) -> None:
        """Record that a loop has completed a round."""
        self._alive()

    async def wait(self, seconds: float = inf) -> bool:
        """Wait for the end, for at most *seconds*; return whether it was asked for."""
        until = monotonic() + seconds
        while not self._event.is_set():
            self._alive()
            left = until - monotonic()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _SLICE_S)):
                    await self._event.wait()
        return True


class RetryUntilStopped:
    """Makes the calls of one loop until they are answered."""

    def __init__(
        self,
        stop: StopFlag,
        log: OutageLog,
        stagger: Stagger,
        recover: Callable[[Fault], Awaitable[bool]],
        policy: RetryPolicy = USUAL,
        node: Callable[[], str] = str,
    ) -> None:
        """Prepare; *recover* does what a fault asks for and returns whether to repeat at once."""
        self._stop = stop
        self._recover = recover
        self._released = asyncio.Event()
        self._retry = Retry(log, stagger, policy, node, self._released.set)

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call answers, however long it takes; raise `Stopped`.

        The call must be safe to repeat.
        """
        while True:
            try:
                answer = await call()
            except RedisFault as error:
                if self._stop or not await self._may_repeat(error.fault):
                    raise Stopped from error
            else:
                self._retry.recovered()
                return answer

    async def _may_repeat(self, fault: Fault) -> bool:
        """Recover, or wait for the next attempt; return False to stop."""
        try:
            if await self._recover(fault):
                return True
        except RedisFault as error:
            fault = error.fault
        self._retry.failed(fault)
        while not self._stop and (left_s := self._retry.left_s()):
            await self._wait(left_s)
        return not self._stop

    async def _wait(self, seconds: float) -> None:
        """Wait for the time, for Redis to answer another loop, or for the end."""
        self._released.clear()
        released = asyncio.ensure_future(self._released.wait())
        ended = asyncio.ensure_future(self._stop.wait(seconds))
        try:
            await asyncio.wait({released, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            released.cancel()
            ended.cancel()
        if ended.done():
            ended.result()


async def together(stop: StopFlag, *loops: Coroutine[Any, Any, None]) -> None:
    """Run loops to their ends; where one breaks, stop the others and raise what broke it."""

    async def guarded(loop: Coroutine[Any, Any, None]) -> None:
        try:
            await loop
        except Stopped:
            raise
        except BaseException:
            stop.set()
            raise

    # Not a task group: it would cancel the calls that are in flight in the others.
    results = await asyncio.gather(*map(guarded, loops), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
