"""The connection of one stream, taken over from the HTTP server once its request is understood.

An idle client then costs a transport and this object, and an event one write, without a task or a
timer. How messages are framed is a matter of the kinds of connections.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from random import randint
from time import monotonic
from typing import ClassVar, Final

from galaxy_notify.realtime.message import Message, bye
from galaxy_notify.realtime.stream import Stream

Headers = Sequence[tuple[bytes, bytes]]

#: A client that reads nothing for this long is dropped.
UNREAD_S: Final = 30.0
#: The most bytes to write at a time.
_CHUNK_BYTES: Final = 1 << 16
#: Clients that lost their connection at the same time do not all come back at the same time.
_RETRY_MS: Final = (1000, 5000)
#: The gateway itself has spread these over time; each moment without a stream is one too many.
_RETRY_SOON_MS: Final = (50, 500)
_SPREAD: Final = frozenset({"rotate", "expired", "shutdown"})
#: A client that is one too many comes back later: it would only send the next one away.
_RETRY_LATER_MS: Final = (20_000, 60_000)


def retry_ms(reason: str = "") -> int:
    """Return after how long a client should connect again whose stream ended for a *reason*."""
    if reason == "too_many":
        bounds = _RETRY_LATER_MS
    else:
        bounds = _RETRY_SOON_MS if reason in _SPREAD else _RETRY_MS
    return randint(*bounds)  # no secret


class Connection(asyncio.Protocol, ABC):
    """Writes the messages of a stream to one client, until either leaves."""

    __slots__ = (
        *("stream", "wrote_at", "end_reason"),
        *("_transport", "_sent", "_closed", "_blocked_at", "_unread", "_is_scheduled", "_is_over"),
    )

    #: The first line of the answer.
    _STATUS: ClassVar[bytes]
    #: What keeps an idle connection open.
    _PING: ClassVar[bytes]

    def __init__(
        self,
        stream: Stream,
        sent: Callable[[Sequence[Message]], object],
        closed: Callable[[Connection], object],
    ) -> None:
        """Prepare; *sent* is called with messages that were written, *closed* at the end."""
        self.stream = stream
        #: When something was written last (monotonic clock).
        self.wrote_at = monotonic()
        #: Why the connection ends, as the client reads it; empty where the client left.
        self.end_reason = ""
        self._sent = sent
        self._closed = closed
        #: Since when the client has not read what was written; 0 where it has.
        self._blocked_at = 0.0
        #: The bytes that it had not read when that was looked at last.
        self._unread = 0
        self._is_scheduled = False
        self._is_over = False

    def start(self, transport: asyncio.Transport, headers: Headers) -> None:
        """Begin the answer: the head, and what can be said whatever Redis answers."""
        self._transport = transport
        if transport.get_write_buffer_size():
            # The answer to an earlier request: the transport does not say it again.
            self.pause_writing()
        lines = [b"%s: %s\r\n" % header for header in headers]
        transport.write(b"%s%s\r\n%s" % (self._STATUS, b"".join(lines), self._first()))
        self.stream.writer = self
        self.wake()

    def wake(self) -> None:
        """Write what the stream has, together with what it gets in this turn of the loop."""
        if self.stream.end_reason:
            self.end(self.stream.end_reason)
        elif not self._is_scheduled and not self._blocked_at:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self.write)

    def write(self) -> None:
        """Write what the stream has, while the client takes it."""
        self._is_scheduled = False
        while not self._is_over and not self._blocked_at and (messages := self._next_messages()):
            self._transport.write(b"".join(map(self._frame, messages)))
            self.wrote_at = monotonic()
            self._sent(messages)

    def ping(self) -> None:
        """Keep proxies from closing an idle connection, and find out that a client is gone."""
        if not self._is_over and not self._blocked_at:
            self._transport.write(self._PING)
            self.wrote_at = monotonic()

    def end(self, reason: str, pause_ms: int | None = None) -> None:
        """Say why the stream ends, and close; what waits is read again by its cursor.

        *pause_ms* is after how long the client should come back, where the reason does not say it.
        """
        if self._is_over:
            return
        self.end_reason = reason
        self._is_over = True
        pause_ms = retry_ms(reason) if pause_ms is None else pause_ms
        self._transport.write(self._last(bye(reason, pause_ms)))
        self._transport.close()

    def is_stalled(self, now: float) -> bool:
        """Return whether the client has read nothing for too long (monotonic clock)."""
        if not self._blocked_at:
            return False
        unread = self._transport.get_write_buffer_size()
        if unread < self._unread:
            # However slow it is: it would never have an event that is larger than its patience.
            self._blocked_at = now
        self._unread = unread
        return self._blocked_at < now - UNREAD_S

    def abort(self) -> None:
        """Close without waiting for the client to read."""
        self._transport.abort()

    @abstractmethod
    def _frame(self, message: Message) -> bytes:
        """Return a message as it is sent."""

    @abstractmethod
    def _first(self) -> bytes:
        """Return what is sent with the head."""

    @abstractmethod
    def _last(self, message: Message) -> bytes:
        """Return the last message as it is sent."""

    # --- asyncio ---

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._is_over = True
        self.stream.writer = None
        self._closed(self)

    def pause_writing(self) -> None:
        """Wait until the client reads what it was sent."""
        self._blocked_at = monotonic()

    def resume_writing(self) -> None:
        """Go on: all was sent."""
        self._blocked_at = 0.0
        self.wake()

    def _next_messages(self) -> Sequence[Message]:
        """Return what is to be written next; nothing where there is nothing."""
        messages: list[Message] = []
        size = 0
        while size < _CHUNK_BYTES and (message := self.stream.take()) is not None:
            messages.append(message)
            size += message.size
        return messages
