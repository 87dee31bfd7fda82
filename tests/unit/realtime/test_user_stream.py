"""What a reader inside an application gets from the buffer of its stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import StreamClosed
from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.realtime.message import Message, hello, notification, pushed, reset, status
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.realtime.user_stream import UserStream
from tests.support.wait import until

TOP = Cursor("e1", 0, "0000")
USUAL = BufferLimits(8, 65_536)


def event(offset: int) -> Message:
    """Return the event at an offset."""
    name = f"{offset:032x}"
    found = LiveEvent(f"{name}/push:u1", "game.turn", "info", "", "", {"n": offset}, 1)
    return notification(found, Cursor("e1", offset, f"{offset:04x}"))


def begun(limits: BufferLimits = USUAL) -> tuple[Stream, UserStream]:
    """Return a stream that has begun at the top, with its reader."""
    stream = Stream("u1", limits)
    reader = UserStream(stream)
    stream.start(hello(TOP, resumed=True), TOP)
    stream.go_live()
    return stream, reader


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario, and assert that it leaves no task."""

    async def ran() -> None:
        await scenario()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(ran())


def test_stream__gives_kinds_with_their_fields() -> None:
    """Each kind has what it carries, and the cursor behind it."""

    async def scenario() -> None:
        stream, reader = begun()
        await reader.begin()
        assert (reader.cursor, reader.resumed, reader.user) == (str(TOP), True, "u1")
        moved = Cursor("e2", 7, "0007")
        for message in (event(1), pushed("typing", '{"who":"u2"}'), status(live=False)):
            stream.put(message)
        stream.reset_to(moved, "rolled_back")
        told, typed, late, gone = [await anext(reader) for _ in range(4)]
        assert (told.kind, told.type, told.cursor) == ("notification", "game.turn", "e1.1.0001")
        assert (told.notification_id, told.payload["data"]) == (f"{1:032x}", {"n": 1})
        assert (typed.kind, typed.type, typed.cursor) == ("message", "typing", told.cursor)
        assert typed.payload == {"type": "typing", "data": {"who": "u2"}}
        assert (late.kind, late.type, late.payload) == ("status", "", {"live": False})
        assert (gone.kind, gone.cursor, reader.cursor) == ("reset", str(moved), str(moved))
        assert told.sse == event(1).sse

    run(scenario)


def test_stream__gives_what_came_before_its_beginning_first() -> None:
    """A stream that waited for Redis says so, before its events."""

    async def scenario() -> None:
        stream = Stream("u1", BufferLimits(8, 65_536))
        reader = UserStream(stream)
        stream.put(status(live=False))
        stream.start(hello(TOP, resumed=False), TOP)
        stream.put(status(live=True))
        await reader.begin()
        assert not reader.resumed
        assert [(await anext(reader)).payload["live"] for _ in range(2)] == [False, True]

    run(scenario)


def test_reader__that_is_too_slow_has_what_the_buffer_held() -> None:
    """It ends behind a part without a gap, counts the rest, and its cursor is behind that part."""

    async def scenario() -> None:
        stream, reader = begun(BufferLimits(3, 65_536))
        await reader.begin()
        for offset in range(1, 9):
            stream.offer(event(offset))
        given = [(await anext(reader)).payload["offset"] for _ in range(3)]
        assert given == [1, 2, 3]
        with pytest.raises(StreamClosed) as closed:
            await anext(reader)
        assert (closed.value.reason, reader.dropped) == ("slow", 5)
        assert reader.cursor == "e1.3.0003"
        with pytest.raises(StreamClosed):
            await anext(reader)

    run(scenario)


def test_stream__ends_with_what_failed() -> None:
    """Who reads learns why, and a later end changes nothing."""

    async def scenario() -> None:
        _, reader = begun()
        await reader.begin()
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        reader.end("failed", OSError("no"))
        reader.end("closed")
        with pytest.raises(StreamClosed, match="failed") as closed:
            await waiting
        assert isinstance(closed.value.__cause__, OSError)

    run(scenario)


@given(st.lists(st.sampled_from(["put", "cancel", "turn"]), max_size=30))
def test_reader__that_is_cancelled_loses_nothing(steps: list[str]) -> None:
    """Wherever it is cancelled while it waits, the next one goes on behind what was given."""

    async def scenario() -> None:
        stream, reader = begun(BufferLimits(64, 65_536))
        await reader.begin()
        got: list[int] = []

        async def read() -> None:
            async for one in reader:
                got.append(one.payload["offset"])

        reading, last = asyncio.ensure_future(read()), 0
        for step in steps:
            if step == "put":
                last += 1
                stream.offer(event(last))
            elif step == "turn":
                await asyncio.sleep(0)
            else:
                reading.cancel()
                await asyncio.wait([reading])
                reading = asyncio.ensure_future(read())
        await until(lambda: len(got) == last, "all is read")
        assert got == list(range(1, last + 1))
        reader.end("closed")
        await asyncio.wait([reading])
        assert isinstance(reading.exception(), StreamClosed)

    run(scenario)


def test_sse__is_the_body_of_a_response() -> None:
    """The greeting, the events, a comment when nothing comes, and the reason of the end."""

    async def scenario() -> None:
        stream, reader = begun()
        await reader.begin()
        frames = reader.sse(ping_s=0.0)
        first = await anext(frames)
        assert first.startswith(b"retry: ")
        assert first.endswith(reader.hello.sse)
        assert await anext(frames) == b": ping\n\n"
        stream.offer(event(1))
        assert await anext(frames) == event(1).sse
        stream.end("logout")
        last = [frame async for frame in frames][-1].decode()
        data = json.loads(last.partition("data: ")[2])
        assert data["reason"] == "logout"
        assert f"retry: {data['retry_ms']}\n" in last

    run(scenario)


def test_sse__names_an_end_that_clients_know() -> None:
    """A browser knows the reasons of gateways only."""

    async def scenario() -> None:
        stream, reader = begun()
        await reader.begin()
        stream.put(reset("trimmed", TOP))
        reader.end("closed")
        frames = b"".join([frame async for frame in reader.sse()])
        assert b"event: reset\n" in frames
        assert b'"reason":"shutdown"' in frames

    run(scenario)
