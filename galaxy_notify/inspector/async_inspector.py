"""`Inspector` for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack

from galaxy_notify.errors import AlreadyClosed
from galaxy_notify.inspector.inspector import Inspector
from galaxy_notify.inspector.queries import DeadLetterQuery, ListQuery
from galaxy_notify.inspector.values import (
    DeadLetterPage,
    NotificationPage,
    ShownNotification,
    Status,
)
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.operations.listing import MOST_ITEMS
from galaxy_notify.redis_client.access import REAL, Environment, settings_at

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
_AT_ONCE: Final = 4


class AsyncInspector(NotCopied):
    """`Inspector` with await: the same arguments, values and errors.

    It may be used in one event loop after another.
    """

    # The reads are written once, for synchronous connections, and run here in a few threads of
    # their own. A second implementation would double some thousand lines for calls that are made a
    # few times a minute by people and dashboards; the threads also bound how many of them run, so
    # that they never crowd out what the loop is there for. A call that is given up goes on in its
    # thread to its end, bounded as it is: its connection is never left with a reply unread.

    def __init__(self, settings: Settings, *, environment: Environment = REAL) -> None:
        """Prepare to connect as *settings* say; what the deployment agreed on is read from it."""
        self._inspector = Inspector(settings, environment=environment)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="galaxy-notify-inspector")
        self._is_closed = False

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "gn", **redis: Any) -> Self:
        """Return an inspector of the deployment at *url*; see `Inspector.from_url`."""
        return cls(settings_at(url, prefix, redis))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def list(
        self,
        *,
        limit: int = MOST_ITEMS,
        cursor: str | None = None,
        **query: Unpack[ListQuery],
    ) -> NotificationPage:
        """Return a page of what was accepted; see `Inspector.list`."""
        return await self._run(partial(self._inspector.list, limit=limit, cursor=cursor, **query))

    async def show(self, id: str, *, payload: bool = False) -> ShownNotification | None:
        """Explain a notification, or one route of it; see `Inspector.show`."""
        return await self._run(partial(self._inspector.show, id, payload=payload))

    async def status(self) -> Status:
        """Return what waits, what is late, who works and who reads; see `Inspector.status`."""
        return await self._run(self._inspector.status)

    async def dead_letters(
        self,
        *,
        limit: int = MOST_ITEMS,
        cursor: str | None = None,
        **query: Unpack[DeadLetterQuery],
    ) -> DeadLetterPage:
        """Return a page of dead letters; see `Inspector.dead_letters`."""
        read = self._inspector.dead_letters
        return await self._run(partial(read, limit=limit, cursor=cursor, **query))

    async def close(self) -> None:
        """Close the connections once running calls have ended; later ones raise `AlreadyClosed`."""
        self._is_closed = True
        # In a thread of the loop's own executor: it waits for our threads.
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._threads.shutdown()
        self._inspector.close()

    async def _run(self, read: Callable[[], T]) -> T:
        if self._is_closed:
            raise AlreadyClosed.named("AsyncInspector")
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)
