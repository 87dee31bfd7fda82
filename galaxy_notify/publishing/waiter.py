"""Rests until there may be work: a wake-up from an accept, a poke, the stop, or the time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.store import Store
from galaxy_notify.telemetry.logs import get_logger

#: A blocking command must end before the bound of a call, and a stop waits for it.
LISTEN_S: Final = 1.0
_DEAF_S: Final = 60.0


class Waiter:
    """Waits for a shard. A call in flight is never cancelled: the next wait goes on with it."""

    def __init__(self, store: Store, channels: Sequence[str]) -> None:
        self._store = store
        self._channels = channels
        self._listening: asyncio.Task[bool] | None = None
        self._poked: asyncio.Future[None] | None = None
        self._deaf_until = 0.0
        self._log = get_logger("publisher", shard=store.keys.shard)

    def poke(self) -> None:
        """End the wait that is going on, if one is: there is something to reconsider."""
        if self._poked is not None and not self._poked.done():
            self._poked.set_result(None)

    async def wait(self, seconds: float, *, listen: bool) -> bool:
        """Wait for at most *seconds*; tell whether a wake-up came. Raises `RedisFault`."""
        self._poked = asyncio.get_running_loop().create_future()
        if listen and self._listening is None and monotonic() >= self._deaf_until:
            self._listening = asyncio.create_task(self._store.woken(self._channels, LISTEN_S))
        awaited: set[asyncio.Future[None] | asyncio.Task[bool]] = {self._poked}
        if self._listening is not None:
            awaited.add(self._listening)
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._heard()

    async def close(self) -> None:
        """Wait for the call in flight, if there is one, and wake another worker in our stead.

        We may have taken the wake-up for a route that we do not publish any more.
        """
        if self._listening is not None:
            await asyncio.wait({self._listening})
            self._listening.exception()
            self._listening = None
        # Redis away: then others look for themselves when it is back.
        with suppress(RedisFault):
            await self._store.rouse(self._channels)

    def _heard(self) -> bool:
        if self._listening is None or not self._listening.done():
            return False
        listening, self._listening = self._listening, None
        try:
            return listening.result()
        except RedisFault as error:
            if error.fault.code != "WRONGTYPE":
                raise
            # Somebody else's key: the poll interval still finds what is due.
            self._deaf_until = monotonic() + _DEAF_S
            self._log.warning("wake-ups not heard", code=error.fault.code, reason=error.fault.text)
            return False
