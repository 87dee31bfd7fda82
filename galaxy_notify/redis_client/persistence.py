"""Calls that are made until Redis answers, or until whoever makes them stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any, Final, TypeVar

from structlog.typing import FilteringBoundLogger

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.telemetry.outage import EdgeLog

T = TypeVar("T")
_CONFIGURE_MS: Final = 30_000
_SLICE_S: Final = 1.0
# Beside a loop that tries again soon, two tries of a node a second, however many shards there are.
_APART_S: Final = 0.5


class Stopped(Exception):
    """We stop and Redis does not answer: leave things to the next delivery."""


class StopFlag:
    """Tells every loop of a process to end; nothing in flight is cancelled."""

    def __init__(self, alive: Callable[[], object] = bool) -> None:
        """Prepare; *alive* is called at least once a second by whoever waits for the end."""
        self._event = asyncio.Event()
        self._alive = alive

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Ask for the end."""
        self._event.set()

    def beat(self) -> None:
        """Say that a loop has come round."""
        self._alive()

    async def wait(self, seconds: float = inf) -> bool:
        """Wait for the end, for at most so long; tell whether it was asked for."""
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


class Turns:
    """Those of the loops that wait for one node: apart, until one of them was answered."""

    def __init__(self) -> None:
        self._at: dict[object, float] = {}
        self._answered = asyncio.Event()

    def next(self, who: object, pause_s: float) -> float:
        """Return for how long a loop is to wait: for its pause, and not just when another tries."""
        now = monotonic()
        turn = now + pause_s
        self._at = {one: at for one, at in self._at.items() if at > now - _APART_S}
        for other in sorted(at for one, at in self._at.items() if one is not who):
            if abs(other - turn) < _APART_S:
                turn = other + _APART_S
        self._at[who] = turn
        return turn - now

    def answered(self) -> None:
        """Let all that wait try now."""
        self._at.clear()
        self._answered.set()
        self._answered = asyncio.Event()

    async def wait(self, seconds: float, stop: StopFlag) -> bool:
        """Wait so long, or until a loop was answered; tell whether the end was asked for."""
        answered = asyncio.ensure_future(self._answered.wait())
        ended = asyncio.ensure_future(stop.wait(seconds))
        try:
            await asyncio.wait({answered, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            ended.cancel()
        if ended.done():
            ended.result()
        return bool(stop)


class Outages:
    """Logs an outage once, however many loops of a process meet it, and lets them take turns."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = EdgeLog(log)
        self._away: dict[object, Turns] = {}
        self._turns: dict[str, Turns] = {}

    def down(self, who: object, fault: Fault, node: str = "") -> Turns:
        """Note that a loop's call to a node failed; return whose turns it has to heed."""
        self._away[who] = self._turns.setdefault(node, Turns())
        self._log.down(fault.code, fault.reason)
        return self._away[who]

    def up(self, who: object) -> None:
        """Note that a loop's call was answered."""
        if who in self._away:
            self._away.pop(who).answered()
        if not self._away:
            self._log.up()


class Persistence:
    """Makes the calls of one loop until they are answered."""

    def __init__(
        self,
        stop: StopFlag,
        outages: Outages,
        mend: Callable[[Fault], Awaitable[bool]],
        least_pause_s: float = 0.0,
        node: Callable[[], str] = str,
    ) -> None:
        """Prepare; *mend* is asked after each fault and tells whether to repeat at once.

        The first repetition comes soon, the later ones after *least_pause_s* or more. *node* tells
        which node is asked now, as far as there are several.
        """
        self._node = node
        self._least_s = least_pause_s
        self._stop = stop
        self._outages = outages
        self._mend = mend

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call answers, however long it takes; raise `Stopped`.

        The call must be safe to repeat.
        """
        backoff, least_s = OutageBackoff(), 0.0
        while True:
            try:
                answer = await call()
            except RedisFault as error:
                if not await self._recover(error.fault, backoff, least_s):
                    raise Stopped from error
                least_s = self._least_s
            else:
                self._outages.up(self)
                return answer

    async def _recover(self, fault: Fault, backoff: OutageBackoff, least_s: float) -> bool:
        if self._stop:
            return False
        try:
            if await self._mend(fault):
                return True
        except RedisFault as error:
            fault = error.fault
        turns = self._outages.down(self, fault, self._node())
        pause = _CONFIGURE_MS if fault.remedy is Remedy.CONFIGURE else backoff.next()
        return not await turns.wait(turns.next(self, max(pause / 1000, least_s)), self._stop)


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
