"""A stream as server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from galaxy_notify.realtime.connection import Connection, retry_ms
from galaxy_notify.realtime.message import Message

Asgi = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Asgi]]
Send = Callable[[Asgi], Awaitable[None]]

HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # A proxy that stores or recodes the stream would hold it back.
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


class SseConnection(Connection):
    """Writes the messages of a stream as server-sent events.

    A client sends nothing more. What it sends all the same is thrown away, and where it closes its
    side, the connection ends.
    """

    __slots__ = ()
    # The end of the answer is the end of the connection: neither a length nor chunks.
    _STATUS = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
    _PING = b": ping\n\n"

    def _frame(self, message: Message) -> bytes:
        return message.sse

    def _first(self) -> bytes:
        # When to connect again, also after a loss without a word.
        return b"retry: %d\n\n" % retry_ms()

    def _last(self, message: Message) -> bytes:
        return message.sse
