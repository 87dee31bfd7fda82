"""Runs the handler of a gateway on one event, with a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event

Handler = Callable[[Event], Awaitable[None]]
_REASON_MAX: Final = 500


class HandlerFailure(NamedTuple):
    """Why an event was not handled; *final* if another delivery would fail too."""

    reason: str
    final: bool = False


class HandlerRunner:
    """Runs handlers, each with a time limit, which a stop shortens."""

    def __init__(self, handler: Handler, timeout_s: float) -> None:
        self._handler = handler
        self._timeout_s = timeout_s
        self._running: set[asyncio.Timeout] = set()
        self._ends_at: float | None = None

    async def run(self, event: Event) -> HandlerFailure | None:
        """Run the handler on an event; return why it failed, or None."""
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                self._running.add(limit)
                self._shorten(limit)
                try:
                    await self._handler(event)
                finally:
                    self._running.discard(limit)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return HandlerFailure("the handler was cancelled")
        except Corrupt as error:
            return HandlerFailure(_bounded(str(error)), final=True)
        except TimeoutError as error:
            late = limit.expired()
            return HandlerFailure("the handler timed out" if late else _reason(error))
        except Exception as error:  # a handler may raise anything: its event stays pending
            return HandlerFailure(_reason(error))
        return None

    def stop_within(self, seconds: float) -> None:
        """Cancel every handler that runs longer than *seconds* from now."""
        self._ends_at = asyncio.get_running_loop().time() + seconds
        for limit in self._running:
            self._shorten(limit)

    def _shorten(self, limit: asyncio.Timeout) -> None:
        when = limit.when()
        if self._ends_at is not None and when is not None and when > self._ends_at:
            limit.reschedule(self._ends_at)


def _reason(error: BaseException) -> str:
    try:
        return _bounded(f"{type(error).__name__}: {error}")
    except Exception:  # an error may fail to return its text
        return type(error).__name__


def _bounded(text: str) -> str:
    """Return a text of bounded length that can be stored: lone surrogates are escaped."""
    shown = " ".join(text.split())[:_REASON_MAX]
    return shown.encode("utf-8", "backslashreplace").decode()[:_REASON_MAX]
