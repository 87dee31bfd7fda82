"""A stream on a connection of its own: what is written, when, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import cast

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.realtime.connection import Connection
from galaxy_notify.realtime.message import Message, notification
from galaxy_notify.realtime.sse import HEADERS, SseConnection
from galaxy_notify.realtime.stream import BufferLimits, Stream
from tests.support.event_stream import EventParser, Frame


class _Transport:
    """A transport whose client reads what the test lets it."""

    def __init__(self, protocol: asyncio.Protocol, room: int = 1 << 30) -> None:
        self.written = b""
        self.unread = 0
        self.is_closed = self.is_aborted = False
        self._protocol = protocol
        self._room = room

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        self.written += data
        was, self.unread = self.unread, max(0, self.unread + len(data) - self._room)
        self._room = max(0, self._room - len(data))
        if self.unread and not was:
            self._protocol.pause_writing()

    def read(self, size: int) -> None:
        """Let the client read some of what is unread."""
        self.unread -= size
        if not self.unread:
            self._room = 1 << 30
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True


class _Place:
    """A connection of this test's own."""

    def __init__(self, *, room: int = 1 << 30, messages: int = 8, size: int = 1 << 18) -> None:
        self.stream = Stream("u1", BufferLimits(messages, size))
        self.sent: list[Message] = []
        self.closed: list[Connection] = []
        self.connection = SseConnection(self.stream, self.sent.extend, self.closed.append)
        self.transport = _Transport(self.connection, room)

    def start(self) -> None:
        self.connection.start(cast("asyncio.Transport", self.transport), HEADERS)

    @property
    def frames(self) -> list[Frame]:
        _, _, body = self.transport.written.partition(b"\r\n\r\n")
        return list(EventParser().feed(body))


def _run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _event(number: int, text: str = "") -> Message:
    event = LiveEvent(f"{number:032x}/push:u1", "t", "info", text, text, {text: text}, 1)
    return notification(event, Cursor("e", number, "abcd"))


def test_start__writes_the_head_at_once() -> None:
    """The client knows that it is connected, whatever Redis does."""

    async def scenario() -> None:
        place = _Place()
        place.start()
        head, _, body = place.transport.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ncontent-type: text/event-stream" in head
        assert b"connection: close" in head
        assert body.startswith(b"retry: ")
        assert body.endswith(b"\n\n")
        assert place.frames == []

    _run(scenario)


def test_messages__of_one_turn_are_one_write() -> None:
    """They are counted once written, in their order."""

    async def scenario() -> None:
        place = _Place()
        place.start()
        messages = [_event(number) for number in (1, 2, 3)]
        for message in messages:
            place.stream.put(message)
        await _turn()
        assert place.sent == messages
        assert [frame.id for frame in place.frames] == ["e.1.abcd", "e.2.abcd", "e.3.abcd"]

    _run(scenario)


def test_client__that_does_not_read_is_cut_off() -> None:
    """Nothing more is written but the reason, however much comes."""

    async def scenario() -> None:
        place = _Place(room=0, messages=4)
        place.start()
        for number in range(1, 50):
            place.stream.put(_event(number))
            await _turn()
        assert place.sent == []
        assert (place.connection.end_reason, place.transport.is_closed) == ("slow", True)
        (ending,) = place.frames
        assert (ending.kind, ending.data["reason"]) == ("bye", "slow")

    _run(scenario)


def test_client__with_an_unread_answer_counts_as_blocked() -> None:
    """What stands before the stream on its connection has to be read first."""

    async def scenario() -> None:
        place = _Place()
        place.transport.unread = 100
        place.start()
        place.stream.put(_event(1))
        await _turn()
        assert place.sent == []
        place.transport.read(place.transport.unread)
        await _turn()
        assert len(place.sent) == 1

    _run(scenario)


def test_client__that_reads_slowly_is_not_dropped() -> None:
    """Only one who reads nothing for the whole time is."""

    async def scenario() -> None:
        place = _Place(room=1000)
        place.start()
        place.stream.put(_event(1, "x" * 100_000))
        await _turn()
        now = monotonic()
        assert not place.connection.is_stalled(now)
        for step in range(1, 10):
            place.transport.read(100)
            assert not place.connection.is_stalled(now + step * 25)
        assert not place.connection.is_stalled(now + 9 * 25 + 29)
        assert place.connection.is_stalled(now + 9 * 25 + 31)
        place.connection.ping()
        assert b": ping" not in place.transport.written

    _run(scenario)


def test_end__is_said_once() -> None:
    """The first reason counts; nothing follows it."""

    async def scenario() -> None:
        place = _Place()
        place.start()
        place.connection.end("rotate")
        place.connection.end("shutdown")
        place.connection.ping()
        place.stream.put(_event(1))
        await _turn()
        assert [frame.data["reason"] for frame in place.frames] == ["rotate"]
        place.connection.connection_lost(None)
        place.stream.put(_event(2))
        assert place.closed == [place.connection]

    _run(scenario)


def test_event__larger_than_the_buffer_is_sent() -> None:
    """A single message is never too large."""

    async def scenario() -> None:
        place = _Place(size=4096)
        place.start()
        for number in (1, 2, 3):
            place.stream.put(_event(number, "x" * 50_000))
            await _turn()
        assert [frame.data["offset"] for frame in place.frames] == [1, 2, 3]

    _run(scenario)
