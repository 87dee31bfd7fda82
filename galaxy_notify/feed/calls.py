"""Calls of an application that are completed, whatever becomes of their callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from galaxy_notify.errors import AlreadyClosed, FeedUnavailable, OtherEventLoop
from galaxy_notify.redis_client.retries import SHORT_PAUSES_S, jittered

T = TypeVar("T")

#: Of a server that restarts, or a connection that it has ended.
_BLINKS: Final = frozenset({"connection", "57P01", "57P02", "57P03"})


class Calls:
    """The calls of one object, in the one event loop in which it is used."""

    def __init__(self, owner: str) -> None:
        """Prepare; *owner* is named in errors."""
        self._owner = owner
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def run(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what a call returns; where the caller is cancelled, it is completed.

        Raises `AlreadyClosed` after `close`, and `OtherEventLoop`.
        """
        if self._is_closed:
            raise AlreadyClosed.named(self._owner)
        self.check_loop()
        task = asyncio.create_task(call())
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def check_loop(self) -> None:
        """Raise `OtherEventLoop` in another loop than that of the first call."""
        here = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = here
        if self._loop is not here:
            raise OtherEventLoop.named(self._owner)

    async def close(self) -> None:
        """Refuse calls from now on, and wait for those in flight."""
        self._is_closed = True
        while self._running:
            await asyncio.wait(self._running)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to look at it


async def tried(call: Callable[[], Awaitable[T]]) -> T:
    """Return what a call of the feed store returns; try it again after a short fault.

    Every such call may run twice.
    """
    for pause in SHORT_PAUSES_S:
        try:
            return await call()
        except FeedUnavailable as error:
            if error.code not in _BLINKS:
                raise
        await asyncio.sleep(jittered(pause))
    return await call()
