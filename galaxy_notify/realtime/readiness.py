"""Whether a write reaches the primary: anybody may ask, so concurrent questions share one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter
from typing import Final

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.web.problems import Problem

#: At most one write in this time, in seconds.
_KEPT_S: Final = 0.5
_RETRY: Final = {"Retry-After": "2"}


class Readiness:
    """Answers from a write of the last half second, or makes one."""

    def __init__(self) -> None:
        """Prepare; until there is a `write` the process is not ready."""
        #: Writes, and raises `RedisFault`; None while the deployment is not known yet.
        self.write: Callable[[], Awaitable[object]] | None = None
        self._probe: asyncio.Task[float] | None = None
        self._probed_at = 0.0
        self._is_stopping = False

    def stop(self) -> None:
        """Be ready no more, and write nothing: the process has begun to leave."""
        self._is_stopping = True

    async def write_ms(self) -> float:
        """Return how long a write took just now; raise a `Problem` (503) where it failed."""
        write = self.write
        if self._is_stopping:
            raise Problem("unavailable", "the gateway is stopping", (), _RETRY)
        if write is None:
            raise Problem("unavailable", "no deployment at this prefix yet", (), _RETRY)
        if self._probe is None or (self._probe.done() and monotonic() - self._probed_at > _KEPT_S):
            self._probe = asyncio.ensure_future(_timed(write))
            self._probed_at = monotonic()
        try:
            return round(await asyncio.shield(self._probe) * 1000, 3)
        except RedisFault as error:
            # The caller is not known: the answer does not say where Redis is.
            detail = f"redis refuses writes: {error.fault.code}"
            raise Problem("unavailable", detail, (), _RETRY) from error


async def _timed(write: Callable[[], Awaitable[object]]) -> float:
    started = perf_counter()
    await write()
    return perf_counter() - started
