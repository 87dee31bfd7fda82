"""The events of a user inside an application: an asynchronous iterator over a bounded buffer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from galaxy_notify.errors import StreamClosed
from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.realtime.message import Message, bye
from galaxy_notify.realtime.stream import Stream

_PING: Final = b": ping\n\n"
#: What clients know; for them the end of another kind is that of the process.
_BYE_REASONS: Final = frozenset({"slow", "logout"})


@dataclass(frozen=True)
class StreamEvent:
    """Something that happened for a user.

    *kind* is ``notification``, ``retract``, ``counts``, ``reset``, ``message`` or ``status``.
    *cursor* opens a stream behind this event. *data* is JSON text, as a gateway sends it, and *sse*
    the whole event for a ``text/event-stream``.
    """

    kind: str
    cursor: str
    data: str
    sse: bytes

    @cached_property
    def payload(self) -> dict[str, Any]:
        """The data, as described in docs/gateway.md by kind; no other reader shares it."""
        found: dict[str, Any] = json.loads(self.data)
        return found

    @property
    def type(self) -> str:
        """The type of a notification or message; empty for other kinds."""
        return str(self.payload.get("type", ""))

    @property
    def notification_id(self) -> str:
        """The id that the receipt of the notification has; empty for other kinds."""
        return str(self.payload.get("notification_id", ""))


class UserStream:
    """The events of one user, in order and without a gap: ``async for event in stream``.

    It ends with `StreamClosed`. A reader that is slower than the events for longer than the buffer
    holds (``buffer_events``, ``buffer_bytes``) is given what the buffer has, and then the reason
    ``slow``; `dropped` says how many messages it was not given. Waiting for the next event may be
    cancelled at any moment, and loses none. One task reads at a time.
    """

    def __init__(self, stream: Stream) -> None:
        """Prepare to read what a stream is given."""
        #: What the opening found: ``payload`` has the cursor, and whether the stream resumed.
        self.hello = StreamEvent("hello", "", "{}", b"")
        #: Where the next stream of this reader begins: behind the event that was given last.
        self.cursor = ""
        #: Why the work in the background failed, where that ended the stream.
        self.failure: BaseException | None = None
        self._stream = stream
        # Messages that came before the first one: events are late.
        self._early: list[Message] = []
        self._changed = asyncio.Event()
        stream.writer = self

    @property
    def user(self) -> str:
        """The user."""
        return self._stream.user

    @property
    def resumed(self) -> bool:
        """Whether the stream began at the cursor that it was opened with."""
        return bool(self.hello.payload.get("resumed"))

    @property
    def dropped(self) -> int:
        """How many messages did not fit into the buffer, and were not given."""
        return self._stream.dropped

    async def begin(self) -> None:
        """Wait until the stream has begun; raise `StreamClosed` if it ends before."""
        while (message := await self._next()).kind != "hello":
            self._early.append(message)
        self.hello = self._event(message)

    def end(self, reason: str, failure: BaseException | None = None) -> None:
        """End the stream for a reason, behind what the buffer has."""
        if not self._stream.end_reason:
            self.failure = failure
            self._stream.end(reason)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        """Return the next event; raise `StreamClosed` at the end."""
        message = self._early.pop(0) if self._early else await self._next()
        return self._event(message)

    async def sse(self, ping_s: float = 25.0) -> AsyncIterator[bytes]:
        """Yield the body of a ``text/event-stream`` response, as a gateway sends it.

        That is `hello`, the events, a comment when nothing was sent for *ping_s* seconds, so that
        proxies keep the connection and a client that is gone is noticed, and ``bye`` at the end,
        which says when to connect again.
        """
        yield b"retry: %d\n\n%s" % (retry_ms(), self.hello.sse)
        while True:
            event: StreamEvent | None = None
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ping_s):
                        event = await anext(self)
            except StreamClosed as closed:
                reason = closed.reason if closed.reason in _BYE_REASONS else "shutdown"
                yield bye(reason, retry_ms(reason)).sse
                return
            yield _PING if event is None else event.sse

    # --- the writer of the stream ---

    def wake(self) -> None:
        """Have the reader look again."""
        self._changed.set()

    def write(self) -> None:
        """Do nothing: events leave the buffer when the reader asks for them."""

    async def _next(self) -> Message:
        while (message := self._stream.take()) is None:
            if self._stream.end_reason:
                raise StreamClosed(self._stream.end_reason) from self.failure
            self._changed.clear()
            await self._changed.wait()
        return message

    def _event(self, message: Message) -> StreamEvent:
        if message.cursor is not None:
            self.cursor = str(message.cursor)
        elif message.kind == "reset":
            self.cursor = str(json.loads(message.data)["cursor"])
        return StreamEvent(message.kind, self.cursor, message.data, message.sse)
