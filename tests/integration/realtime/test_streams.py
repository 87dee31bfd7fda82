"""Streams over a real socket: what a client gets when it comes, stays, and comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import redis.asyncio
import uvicorn

from galaxy_notify.model.cursor import parse_cursor
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.sse import HEADERS, SseConnection
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_state.inbox import Push, Telling, tell
from galaxy_notify.redis_state.recent import NewEvent, RecentLimits, read_delivered, user_deliver
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.web.connection import HAND_OVER, LentProtocol
from tests.support.servers import Server
from tests.support.wait import until


class Frame(NamedTuple):
    """One event of a text/event-stream."""

    kind: str
    id: str
    data: Any


class Place:
    """One instance on a port, and what delivers to its users."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.key_space = KeySpace("gn", SharedSettings(shards=2, channels=("push",)))
        attendance = Attendance(client, self.key_space, "gw-1", 30_000, 100)
        self.instance = Instance(client, attendance, 0.1, Telemetry.off())
        self.delivered = 0
        self.port = 0

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        user = scope["path"].removeprefix("/")
        cursor = parse_cursor(dict(scope["headers"]).get(b"last-event-id", b"").decode())
        stream = Stream(user, BufferLimits(64, 262_144))
        connection = SseConnection(stream, len, lambda one: self.instance.depart(one.stream))
        connection.start(scope["extensions"][HAND_OVER](connection), HEADERS)
        self.instance.arrive(Arrival(stream, cursor))

    async def deliver(self, *users: str, tells: bool = True) -> None:
        for user in users:
            self.delivered += 1
            name = f"{self.delivered:032x}"
            event = LiveEvent(f"{name}/push:{user}", "t", "info", "", "", {"n": self.delivered}, 1)
            events = [NewEvent(user, name, event.packed)]
            limits = RecentLimits(100, 60_000)
            call = user_deliver(
                self.key_space.keys_of_user(user), limits, f"e{self.delivered}x", events
            )
            (found,) = read_delivered(await run(self.client, call), events)
            assert found.cursor is not None
            telling = Telling(user, found.cursor, event.packed, 1)
            if tells:
                await run_all(
                    self.client, [tell("gn", name, [telling]) for name in found.instances]
                )


class Reader:
    """A client that reads frames from a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def frame(self) -> Frame:
        while True:
            raw = (await self._reader.readuntil(b"\n\n")).decode()
            # Chunk sizes stand between the frames.
            lines = [line for line in raw.replace("\r", "").split("\n") if ": " in line]
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if "event" in fields:
                data = json.loads(fields["data"])
                return Frame(fields["event"], fields.get("id", ""), data)

    async def numbers(self, count: int) -> list[int]:
        return [(await self.frame()).data["data"]["n"] for _ in range(count)]


@asynccontextmanager
async def _place(server: Server) -> AsyncIterator[Place]:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        place = Place(client)
        config = uvicorn.Config(
            place.app, port=0, http=LentProtocol, log_config=None, lifespan="off", interface="asgi3"
        )
        web = uvicorn.Server(config)
        serving = asyncio.create_task(web.serve())
        running = asyncio.create_task(place.instance.run())
        await until(lambda: web.started, "the server listens")
        place.port = web.servers[0].sockets[0].getsockname()[1]
        try:
            yield place
        finally:
            place.instance.stop()
            web.should_exit = web.force_exit = True
            await asyncio.gather(serving, running)


@asynccontextmanager
async def _connected(place: Place, user: str, cursor: str = "") -> AsyncIterator[Reader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    resume = f"Last-Event-ID: {cursor}\r\n" if cursor else ""
    writer.write(f"GET /{user} HTTP/1.1\r\nHost: x\r\n{resume}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200")
    assert "content-type: text/event-stream" in head
    try:
        yield Reader(reader, writer)
    finally:
        writer.close()


def test_stream__begins_at_the_top_and_goes_on(any_server: Server) -> None:
    """A client without a cursor gets what comes from now on, with cursors that count."""

    async def scenario() -> None:
        async with _place(any_server) as place:
            await place.deliver("u1")
            async with _connected(place, "u1") as client, _connected(place, "u2") as other:
                first = await client.frame()
                assert (first.kind, first.data["resumed"]) == ("hello", False)
                assert first.id == first.data["cursor"]
                assert (await other.frame()).id == "0.0.0"
                await place.deliver("u1", "u2", "u1")
                frames = [await client.frame() for _ in range(2)]
                assert [frame.data["offset"] for frame in frames] == [2, 3]
                assert [frame.data["data"]["n"] for frame in frames] == [2, 4]
                assert (await other.frame()).data["offset"] == 1

    asyncio.run(scenario())


def test_stream__resumes_behind_its_cursor(any_server: Server) -> None:
    """What was missed comes before what is new, in pages, without a hole and without a repeat."""

    async def scenario() -> None:
        async with _place(any_server) as place:
            async with _connected(place, "u1") as client:
                cursor = (await client.frame()).id
            await place.deliver(*["u1"] * 90)
            async with _connected(place, "u1", cursor) as client:
                first = await client.frame()
                assert (first.id, first.data["resumed"]) == (cursor, True)
                await place.deliver("u1")
                assert await client.numbers(91) == list(range(1, 92))

    asyncio.run(scenario())


def test_stream__that_cannot_resume_is_reset(any_server: Server) -> None:
    """An unknown cursor begins at the top, and says that events may be missing."""

    async def scenario() -> None:
        async with _place(any_server) as place:
            await place.deliver("u1")
            async with _connected(place, "u1", "other.7.abcd") as client:
                first, second = await client.frame(), await client.frame()
                assert (first.data["resumed"], second.kind) == (False, "reset")
                assert second.data == {"reason": "unknown", "cursor": first.id}

    asyncio.run(scenario())


def test_event__that_nobody_told_is_found_by_the_next_one(any_server: Server) -> None:
    """A telling that was lost costs time, not the event."""

    async def scenario() -> None:
        async with _place(any_server) as place, _connected(place, "u1") as client:
            await client.frame()
            await place.deliver("u1", "u1", tells=False)
            await place.deliver("u1")
            assert await client.numbers(3) == [1, 2, 3]

    asyncio.run(scenario())


def test_presence__ends_with_the_last_stream(any_server: Server) -> None:
    """Whoever has left is told nothing any more."""

    async def scenario() -> None:
        async with _place(any_server) as place:
            key = place.key_space.keys_of_user("u1").presence("u1")
            async with _connected(place, "u1") as client, _connected(place, "u1"):
                await client.frame()
                assert await place.client.zrange(key, 0, -1) == [b"gw-1"]
            await until(lambda: _is_gone(place, key), "the presence is removed")

    async def _is_gone(place: Place, key: str) -> bool:
        return not await place.client.exists(key)

    asyncio.run(scenario())


def test_push__comes_behind_the_greeting_only(any_server: Server) -> None:
    """A stream that has not begun yet is given none; a later one is given its own."""

    async def scenario() -> None:
        async with _place(any_server) as place:
            early = Stream("u1", BufferLimits(64, 262_144))
            place.instance.hub.add(early)
            async with _connected(place, "u1") as client:
                assert (await client.frame()).kind == "hello"
                await place.instance.receive([Push("u1", "typing", "{}")])
                frame = await client.frame()
                assert (frame.kind, frame.data) == ("message", {"type": "typing", "data": {}})
                assert early.take() is None

    asyncio.run(scenario())
