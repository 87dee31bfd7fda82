"""Waiting for Postgres: one call asks whether it is back, and all others wait for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import CallFailed, ConfigurationError, FeedUnavailable
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.redis_client.async_retries import StopFlag, Stopped
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

T = TypeVar("T")
#: How long the pauses grow, in ms.
_LONGEST_MS: Final = 5000


class PostgresOutage:
    """Makes calls to Postgres until they are answered, however long that takes.

    Wrong credentials, and a schema of another version, are waited out as well: an operator repairs
    them while the process runs. An outage is logged at its edges.
    """

    def __init__(self, stop: StopFlag) -> None:
        self._stop = stop
        self._edges = EdgeLog(
            get_logger("feed"), "postgres unavailable", "postgres available again"
        )
        self._backoff = OutageBackoff(maximum_ms=_LONGEST_MS)
        self._asking = asyncio.Lock()

    @property
    def is_on(self) -> bool:
        """Whether the last answer of Postgres was none."""
        return self._edges.is_down

    async def answered(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call that is safe to repeat answers; raise `Stopped`.

        A lock that is not free, and a refused item, are answers: their errors are raised.
        """
        while not self._stop:
            if not self.is_on:
                try:
                    return await call()
                except (FeedUnavailable, ConfigurationError) as error:
                    self._failed(error)
                    continue
            async with self._asking:
                if not self.is_on:
                    continue
                if await self._stop.wait(self._backoff.next() / 1000):
                    break
                try:
                    answer = await call()
                except (FeedUnavailable, ConfigurationError) as error:
                    self._failed(error)
                    continue
                except Exception:
                    self._recovered()
                    raise
                self._recovered()
                return answer
        raise Stopped

    def _failed(self, error: FeedUnavailable | ConfigurationError) -> None:
        code = error.code if isinstance(error, CallFailed) else "configuration"
        if code == LOCKED:
            self._recovered()
            raise error
        self._edges.down(code, str(error))

    def _recovered(self) -> None:
        self._edges.up()
        self._backoff.reset()
