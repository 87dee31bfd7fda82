"""Runs the handler of a gateway, within a time limit: all its tasks have the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import inf
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event

Handler = Callable[[Event], Awaitable[None]]
#: Returns the failures by event id, or None; see `GatewayConsumer.run_batches`.
BatchHandler = Callable[[list[Event]], Awaitable[Mapping[str, object] | None]]

_REASON_MAX: Final = 500
_NAMED_MAX: Final = 3
_TIMED_OUT: Final = "the handler timed out"


class HandlerFailure(NamedTuple):
    """Why an event was not handled.

    *final* if another delivery would fail too; *invalid_answer* if what the handler returned cannot
    be used.
    """

    reason: str
    final: bool = False
    invalid_answer: bool = False


#: What failed of a batch, by event id, or the failure of all of it.
BatchOutcome = Mapping[str, HandlerFailure] | HandlerFailure


class HandlerRunner:
    """Runs a handler of single events; each call has a time limit, which a stop shortens.

    It belongs to the event loop in which it is made.
    """

    def __init__(self, handler: Callable[[Any], Awaitable[Any]], timeout_s: float) -> None:
        self._handler = handler
        self._watchdog = Watchdog(timeout_s)

    async def run(self, event: Event) -> HandlerFailure | None:
        """Run the handler on an event; return why it failed, or None."""
        answer = await self.call(event)
        return answer if type(answer) is HandlerFailure else None

    def stop_within(self, seconds: float) -> None:
        """Cancel every handler that runs longer than *seconds* from now."""
        self._watchdog.shorten(seconds)

    async def call(self, given: Any) -> Any:
        """Return what the handler returns, or a `HandlerFailure`."""
        task, is_late = self._watchdog.begin(), False
        try:
            try:
                return await self._handler(given)
            finally:
                is_late = self._watchdog.end(task)
        except asyncio.CancelledError:
            if task.cancelling():
                raise
            return HandlerFailure(_TIMED_OUT if is_late else "the handler was cancelled")
        except Corrupt as error:
            return HandlerFailure(_bounded(str(error)), final=True)
        except TimeoutError as error:
            return HandlerFailure(_TIMED_OUT if is_late else _reason(error))
        except Exception as error:  # a handler may raise anything: its event stays pending
            return HandlerFailure(_reason(error))


class BatchRunner(HandlerRunner):
    """Runs a handler of many events at once, which returns those that failed."""

    async def run(self, event: Event) -> HandlerFailure | None:
        """Run the handler on a batch of one event; return why it failed, or None."""
        outcome = await self.run_batch([event])
        return outcome if isinstance(outcome, HandlerFailure) else outcome.get(event.event_id)

    async def run_batch(self, events: Sequence[Event]) -> BatchOutcome:
        """Run the handler on events; return which failed."""
        answer = await self.call(list(events))
        if answer is None:
            return {}
        if isinstance(answer, HandlerFailure):
            return answer
        try:
            return _outcome(answer, {event.event_id for event in events})
        except Exception as error:  # what calls itself a mapping may raise anything
            return _invalid_answer(f"what cannot be read: {_reason(error)}")


def _outcome(answer: object, known: set[str]) -> BatchOutcome:
    if not isinstance(answer, Mapping):
        return _invalid_answer(f"{type(answer).__name__}, not a mapping of failures or None")
    failures = dict(answer)
    # Which of the events they stand for is not known, so none may be acknowledged.
    if unknown := [event_id for event_id in failures if event_id not in known]:
        named = ", ".join(map(repr, unknown[:_NAMED_MAX]))
        return _invalid_answer(f"failures of {len(unknown)} events that it was not given: {named}")
    return {event_id: _failure(failure) for event_id, failure in failures.items()}


def _invalid_answer(what: str) -> HandlerFailure:
    return HandlerFailure(_bounded(f"the handler returned {what}"), invalid_answer=True)


def _failure(failure: object) -> HandlerFailure:
    if isinstance(failure, Corrupt):
        return HandlerFailure(_bounded(str(failure)), final=True)
    if isinstance(failure, BaseException):
        return HandlerFailure(_reason(failure))
    try:
        return HandlerFailure(_bounded(str(failure)))
    except Exception:  # an object may fail to return its text
        return HandlerFailure(type(failure).__name__)


def _reason(error: BaseException) -> str:
    try:
        return _bounded(f"{type(error).__name__}: {error}")
    except Exception:  # an error may fail to return its text
        return type(error).__name__


def _bounded(text: str) -> str:
    """Return a text of bounded length that can be stored: lone surrogates are escaped."""
    shown = " ".join(text.split())[:_REASON_MAX]
    return shown.encode("utf-8", "backslashreplace").decode()[:_REASON_MAX]


class Watchdog:
    """Cancels tasks that run longer than a limit; one timer serves all of them.

    What begins later ends later, so the timer waits for the task that began first. It is not moved
    when that one ends in time: when it fires, it is set to the end of the first that still runs.
    So a quick handler sets no timer, and each limit is kept exactly.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        #: When the limit of each running task ends, earliest first.
        self._ends: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last_end = inf

    def begin(self) -> asyncio.Task[Any]:
        """Limit the current task from now on, and return it; it must `end` this first."""
        task = asyncio.current_task(self._loop)
        assert task is not None
        end = self._loop.time() + self._limit_s
        self._ends[task] = end = end if end < self._last_end else self._last_end
        if self._timer is None:
            self._timer = self._loop.call_at(end, self._look)
        return task

    def end(self, task: asyncio.Task[Any]) -> bool:
        """End the limit; return whether the task was cancelled, and take that cancellation back."""
        del self._ends[task]
        if task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True

    def shorten(self, seconds: float) -> None:
        """End every limit, also of tasks that begin later, *seconds* from now at the latest."""
        last = self._last_end = self._loop.time() + seconds
        self._ends = {task: min(end, last) for task, end in self._ends.items()}
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(last, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for task, end in self._ends.items():
            if task in self._late:
                continue  # cancelled once; a handler may take its time to end
            if end > now:
                self._timer = self._loop.call_at(end, self._look)
                return
            self._late.add(task)
            task.cancel()
