"""Waiting for Postgres: one loop asks whether it is back, and all others wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import CallFailed, ConfigurationError, FeedRefused, FeedUnavailable
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

T = TypeVar("T")
#: How long the pauses grow, in ms.
_LONGEST_MS: Final = 5000


class PostgresOutage:
    """Makes calls to Postgres until they are answered, however long that takes.

    A wrong password, and a schema of another version, are waited out as well: an operator repairs
    them while the process runs. An outage is logged at its edges.
    """

    def __init__(self, stop: StopFlag, ready: Callable[[], Awaitable[None]]) -> None:
        """Prepare; *ready* returns if Postgres answers and has the schema of this version."""
        self._stop = stop
        self._ready = ready
        self._is_ready = False
        self._refuses_writes = False
        self._edges = EdgeLog(
            get_logger("feed"), "postgres unavailable", "postgres available again"
        )
        self._backoff = OutageBackoff(maximum_ms=_LONGEST_MS)
        self._asking = asyncio.Lock()

    @property
    def is_on(self) -> bool:
        """Whether Postgres failed to answer, and has not answered since."""
        return self._edges.is_down

    async def answered(self, call: Callable[[], Awaitable[T]], *, writes: bool = False) -> T:
        """Return what a call that is safe to repeat answers; raise `Stopped`.

        A lock that is not free, and an item that is refused, are answers: their errors are raised.
        An outage that one which *writes* met ends with an answer to such a call: a server whose
        disk is full, or which is read-only, goes on to answer all others.
        """
        while not self._stop:
            if not self._is_ready:
                async with self._asking:
                    await self._ask()
                continue
            try:
                answer = await call()
            except FeedRefused:
                self._succeeded(writes)
                raise
            except (FeedUnavailable, ConfigurationError) as error:
                if _code(error) == LOCKED:
                    self._succeeded(writes)
                    raise
                self._refuses_writes = self._refuses_writes or writes
                self._failed(error)
            else:
                self._succeeded(writes)
                return answer
        raise Stopped

    async def _ask(self) -> None:
        """Ask whether Postgres is ready, after a pause unless it is the first time."""
        if self._is_ready or (
            self._edges.is_down and await self._stop.wait(self._backoff.next() / 1000)
        ):
            return
        try:
            await self._ready()
        except (FeedUnavailable, ConfigurationError) as error:
            self._failed(error)
        else:
            self._is_ready = True

    def _succeeded(self, writes: bool) -> None:
        if writes or not self._refuses_writes:
            self._refuses_writes = False
            self._edges.up()
            self._backoff.reset()

    def _failed(self, error: FeedUnavailable | ConfigurationError) -> None:
        self._is_ready = False
        self._edges.down(_code(error), str(error))


def _code(error: FeedUnavailable | ConfigurationError) -> str:
    return error.code if isinstance(error, CallFailed) else "configuration"
