"""Calls that are made until Redis answers, or until the consumer stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.redis_state.faults import Fault, Remedy
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

T = TypeVar("T")
_CONFIGURE_MS: Final = 30_000


class Stopped(Exception):
    """The consumer stops and Redis does not answer: leave things to the next delivery."""


class StopFlag:
    """Tells every loop of a consumer to end; nothing in flight is cancelled."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, for at most so long; tell whether it was asked for."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        return True


class Outages:
    """Logs an outage once, however many loops of the consumer meet it."""

    def __init__(self, group: str) -> None:
        self._log = EdgeLog(get_logger("gateway", group=group))
        self._away: set[object] = set()

    def down(self, who: object, fault: Fault) -> None:
        """Note that a loop's call failed."""
        self._away.add(who)
        self._log.down(fault.code, fault.text)

    def up(self, who: object) -> None:
        """Note that a loop's call was answered."""
        self._away.discard(who)
        if not self._away:
            self._log.up()


class Persistence:
    """Makes the calls of one loop until they are answered."""

    def __init__(
        self,
        stop: StopFlag,
        outages: Outages,
        mend: Callable[[Fault], Awaitable[bool]],
    ) -> None:
        """Prepare; *mend* is asked after each fault and tells whether to repeat at once."""
        self._stop = stop
        self._outages = outages
        self._mend = mend

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call answers, however long it takes; raise `Stopped`.

        The call must be safe to repeat.
        """
        backoff = OutageBackoff()
        while True:
            try:
                answer = await call()
            except RedisFault as error:
                if not await self._recover(error.fault, backoff):
                    raise Stopped from error
            else:
                self._outages.up(self)
                return answer

    async def _recover(self, fault: Fault, backoff: OutageBackoff) -> bool:
        if self._stop:
            return False
        try:
            if await self._mend(fault):
                return True
        except RedisFault as error:
            fault = error.fault
        self._outages.down(self, fault)
        pause = _CONFIGURE_MS if fault.remedy is Remedy.CONFIGURE else backoff.next()
        return not await self._stop.wait(pause / 1000)


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
