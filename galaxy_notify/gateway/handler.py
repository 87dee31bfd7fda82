"""Runs the handler of a gateway, within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.watchdog import Watchdog
from galaxy_notify.redis_client.faults import RedisFault

Handler = Callable[[Event], Awaitable[None]]
#: Returns the failures by event id, or None; see `GatewayConsumer.run_batches`.
BatchHandler = Callable[[list[Event]], Awaitable[Mapping[str, object] | None]]

_REASON_MAX: Final = 500
_NAMED_MAX: Final = 3
_TIMED_OUT: Final = "the handler timed out"


class LeftForLater(Exception):
    """Why one of our own handlers leaves an event to a later delivery: this was none.

    No handler of others sees this class.
    """


class HandlerFailure(NamedTuple):
    """Why an event was not handled.

    *final* if another delivery would fail too; *invalid_answer* if what the handler returned cannot
    be used; *uncounted* if it says nothing of the event, so that it is no delivery.
    """

    reason: str
    final: bool = False
    invalid_answer: bool = False
    uncounted: bool = False


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
        """Return what the handler returns, or a `HandlerFailure`.

        Raises the `RedisFault` that one of our own handlers raises: its Redis failed, not the
        events. No handler of others sees this class.
        """
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
        except RedisFault:
            raise
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
        if isinstance(failure, LeftForLater):
            return HandlerFailure(_bounded(str(failure)), uncounted=True)
        return HandlerFailure(_reason(failure), uncounted=isinstance(failure, RedisFault))
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
