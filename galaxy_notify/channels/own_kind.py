"""A kind of one's own: an async function that sends one notification to one address."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, cast

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery, TransientDeliveryError
from galaxy_notify.channels.dialing import OWN_FAULTS
from galaxy_notify.channels.kind import Target
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.contacts.redaction import without_address
from galaxy_notify.model.callables import check_callable, loaded_attribute
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.route_body import bounded
from galaxy_notify.settings.channel_kinds import OwnChannel

Send = Callable[[Delivery], Awaitable[object]]

_TIMED_OUT: Final = Attempt("transient", "timeout", "it did not end in time")
#: How long the calls that went on after their deadline are waited for at the end, in seconds.
_CLOSING_S: Final = 1.0
#: This much of the text of an exception is kept, in characters.
_KEPT: Final = 200


class OwnKind:
    """Calls ``async def send(delivery) -> None``, in the event loop of the process.

    A call is asked to end by cancellation, and only at its deadline; nobody waits for it then.
    """

    has_contacts = True

    def __init__(self, name: str, channel: OwnChannel) -> None:
        """Load the function of a channel; raise `ConfigurationError` if it cannot be used."""
        place = f"channels.{name}.kind"
        found = loaded_attribute(place, channel.kind)
        check_callable(place, found, ("delivery",), asynchronous=True)
        self._send = cast("Send", found)
        self._calls: set[asyncio.Task[None]] = set()

    def targets(self, contacts: Sequence[Contact], event: LiveEvent) -> Sequence[Target]:
        """Return every contact; which hosts the function sends to is not known."""
        del event
        return [Target(contact) for contact in contacts]

    async def send(self, delivery: Delivery, target: Target, deadline: float) -> Attempt:
        """Call the function, and return what became of it, at *deadline* (the loop's time).

        Raises `OSError` where the function raised that this machine has no more sockets or memory.
        """
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return _TIMED_OUT
        task = self._begin(replace(delivery, contact=target.contact), deadline)
        # Not awaited itself: an end of the caller does not interrupt the call.
        await asyncio.wait({task}, timeout=left)
        if not task.done() or task.cancelling():
            return _TIMED_OUT
        if task.cancelled():
            return Attempt("transient", "timeout", "it was cancelled")
        error = task.exception()
        return Attempt("delivered") if error is None else _failed(error, target.contact)

    async def close(self) -> None:
        """Wait a moment for calls that went on after their deadline."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=_CLOSING_S)

    def _begin(self, delivery: Delivery, deadline: float) -> asyncio.Task[None]:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._call(delivery), name=f"send {delivery.channel}")
        self._calls.add(task)
        end = loop.call_at(deadline, task.cancel)

        def ended(task: asyncio.Task[None]) -> None:
            end.cancel()
            self._calls.discard(task)
            if not task.cancelled():
                task.exception()  # looked at: asyncio does not report it after a time-out

        task.add_done_callback(ended)
        return task

    async def _call(self, delivery: Delivery) -> None:
        try:
            await self._send(delivery)
        except SystemExit as error:  # it would end the process, and again after each restart
            raise RuntimeError(f"the function called exit({error.code!r})") from error


def _failed(error: BaseException, contact: Contact | None) -> Attempt:
    if isinstance(error, OSError) and error.errno in OWN_FAULTS:
        raise error
    text = without_address(_text_of(error), contact)
    if isinstance(error, TransientDeliveryError):
        wait = _wait_ms(error)
        return Attempt("transient", "raised", bounded(text)[:_KEPT], retry_after_ms=wait)
    name = type(error).__name__
    return Attempt("permanent", "raised", bounded(f"{name}: {text}" if text else name)[:_KEPT])


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception may fail to return its text
        return ""


def _wait_ms(error: TransientDeliveryError) -> int | None:
    try:
        return max(0, int(error.retry_after_ms or 0)) or None
    except (ValueError, TypeError, OverflowError):  # nothing checks what a function passes
        return None
