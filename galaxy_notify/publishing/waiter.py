"""Waits until there may be work: a wake-up from an accept, a change of state, or the time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final

from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.store import Store

#: A blocking command must end within the time limit of a call, and a stop waits for it.
LISTEN_S: Final = 1.0
_WRONG_TYPE_S: Final = 60.0


class Waiter:
    """Waits for work of a shard. The next wait continues a call in flight; none is cancelled."""

    def __init__(self, store: Store, state: ShardState) -> None:
        self._store = store
        self._state = state
        self._listening: asyncio.Task[bool] | None = None
        self._listen_after = 0.0

    async def wait(self, seconds: float, *, listen: bool) -> bool:
        """Wait for at most *seconds*; return whether a wake-up came. Raises `RedisFault`."""
        awaited: set[asyncio.Future[None] | asyncio.Task[bool]] = {self._state.next_wakeup()}
        if listen and self._listening is None and monotonic() >= self._listen_after:
            waiting = self._store.wait_for_wakeup(self._state.channels, LISTEN_S)
            self._listening = asyncio.create_task(waiting)
        if self._listening is not None:
            awaited.add(self._listening)
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._was_woken()

    async def close(self) -> None:
        """Wait for the call in flight, if any, and wake another worker.

        The call may have consumed the wake-up for a route that this worker no longer publishes.
        """
        if self._listening is not None:
            await asyncio.wait({self._listening})
            self._listening.exception()
            self._listening = None
        # After an outage the other workers claim by themselves.
        with suppress(RedisFault):
            await self._store.notify_channels(self._state.channels)

    def _was_woken(self) -> bool:
        if self._listening is None or not self._listening.done():
            return False
        listening, self._listening = self._listening, None
        try:
            return listening.result()
        except RedisFault as error:
            if error.fault.code != "WRONGTYPE":
                raise
            # The key belongs to another application: the poll interval still finds due routes.
            self._listen_after = monotonic() + _WRONG_TYPE_S
            self._state.log.warning(
                "wake-ups unavailable", code=error.fault.code, reason=error.fault.text
            )
            return False
