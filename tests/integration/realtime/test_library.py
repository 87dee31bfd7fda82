"""Streams inside an application, on real servers: begin, resume, push, and end."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import Any

import pytest

from galaxy_notify.errors import (
    ConfigurationError,
    InvalidQuery,
    StreamClosed,
    Unavailable,
)
from galaxy_notify.realtime import Streams
from tests.support.application import Application, numbers
from tests.support.gateways import KEY_SPACE
from tests.support.program import ROOT
from tests.support.servers import Server
from tests.support.wait import HANG_S, until


def test_stream__gives_what_is_published_and_resumes(app: Application) -> None:
    """Events come live, and what was missed comes first when the cursor is given again."""

    async def scenario() -> None:
        async with app.streams() as streams:
            async with streams.open("u1", within_s=HANG_S) as stream, streams.open("u2") as other:
                assert (stream.cursor, stream.resumed) == ("0.0.0", False)
                app.publish("u1", "u2")
                assert await numbers(stream, 1) == [1]
                assert await numbers(other, 1) == [2]
                last = stream.cursor
            app.publish("u1")
            async with streams.open("u1", last) as stream:
                assert stream.resumed
                assert await numbers(stream, 1) == [3]
                app.publish("u1")
                assert await numbers(stream, 1) == [4]

    app.run(scenario)


@pytest.mark.parametrize("cursor", ["nonsense", "other.7.abcd"])
def test_stream__of_an_unknown_cursor_is_reset(app: Application, cursor: str) -> None:
    """It says so first, and goes on behind the top."""

    async def scenario() -> None:
        async with app.streams() as streams, streams.open("u1", cursor, within_s=HANG_S) as stream:
            event = await anext(stream)
            assert (stream.resumed, event.kind) == (False, "reset")
            assert event.payload["reason"] == "unknown"
            assert event.cursor == event.payload["cursor"] == stream.cursor

    app.run(scenario)


def test_reader__that_is_too_slow_ends_and_resumes(app: Application) -> None:
    """It has what the buffer held, knows how much more there was, and opens again for it."""

    async def scenario() -> None:
        async with app.streams(buffer_events=8) as streams:
            async with streams.open("u1", within_s=HANG_S) as stream:
                app.publish(*["u1"] * 40)
                await until(lambda: stream.dropped, "it is too slow")
                got = [(await anext(stream)).notification_id for _ in range(8)]
                with pytest.raises(StreamClosed, match="slow"):
                    await anext(stream)
            async with streams.open("u1", stream.cursor) as stream:
                got += [(await anext(stream)).notification_id for _ in range(32)]
            assert len(set(got)) == 40

    app.run(scenario)


def test_push__reaches_all_streams_of_users_on_any_instance(app: Application) -> None:
    """It counts the instances, says nothing to others, and is not stored."""

    async def scenario() -> None:
        async with app.streams() as first, app.streams(consume=False) as second:
            async with (
                first.open("u1", within_s=HANG_S) as one,
                second.open("u1", within_s=HANG_S) as other,
                second.open("u2", within_s=HANG_S) as third,
                first.open("u3", within_s=HANG_S) as apart,
            ):
                assert await first.push("u1", "typing", {"who": "ann"}) == 2
                assert await first.push("u2", "typing", {"who": "bob"}) == 1
                assert await second.push("u9", "typing", {}) == 0
                assert await second.push_multi(["u1", "u2", "u9"], "progress", {"at": 7}) == 2
                for stream, who in ((one, "ann"), (other, "ann"), (third, "bob")):
                    events = [await anext(stream) for _ in range(2)]
                    assert [event.kind for event in events] == ["message"] * 2
                    assert [event.type for event in events] == ["typing", "progress"]
                    assert [event.payload["data"] for event in events] == [{"who": who}, {"at": 7}]
                app.publish("u3")
                assert (await anext(apart)).kind == "notification"
                assert one.cursor == one.hello.cursor
            async with first.open("u1", one.cursor) as again:
                app.publish("u1")
                assert (await anext(again)).kind == "notification"

    app.run(scenario)


def test_streams__without_the_consuming_half_leave_events_to_others(app: Application) -> None:
    """No group is made by them."""

    async def scenario() -> None:
        async with (
            app.streams(consume=False) as streams,
            streams.open("u1", within_s=HANG_S) as stream,
        ):
            app.publish("u1")
            assert await streams.push("u1", "t", {}) == 1
            assert (await anext(stream)).kind == "message"
            assert app.client.xinfo_groups(KEY_SPACE.keys(1).stream) == []
            async with app.streams():
                assert await numbers(stream, 1) == [1]

    app.run(scenario)


def test_streams__wait_for_a_deployment(any_server: Server) -> None:
    """Where there is none yet, the error says so; later all works."""

    async def scenario() -> None:
        async with Streams.from_url(any_server.url) as streams:
            with pytest.raises(Unavailable, match="no deployment"):
                async with streams.open("u1"):
                    pass
            with any_server.client() as client:
                app = Application(any_server, client)
                async with streams.open("u1", within_s=HANG_S) as stream:
                    app.publish("u1")
                    assert await numbers(stream, 1) == [1]

    asyncio.run(scenario())


def test_open__refuses_what_is_invalid(app: Application) -> None:
    """The field is named, and nothing is sent."""

    async def scenario() -> None:
        async with app.streams() as streams:
            cases: Any = [("no user", None, "user"), (7, None, "user"), ("u1", 7, "cursor")]
            for user, cursor, field in cases:
                with pytest.raises(InvalidQuery, match=f"^{field}: "):
                    async with streams.open(user, cursor):
                        pass

    app.run(scenario)
    for wrong in ({"port": 1}, {"buffer_events": 1}, {"presence_ttl_ms": "soon"}):
        with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))}"):
            app.streams(**wrong)


READER = """
import asyncio, sys
from galaxy_notify.realtime import Streams
async def main():
    async with Streams.from_url(sys.argv[1], presence_ttl_ms=6000) as streams:
        async with streams.open("u1", within_s=300) as stream:
            print(stream.cursor, flush=True)
            async for event in stream:
                print(event.kind, event.cursor, flush=True)
asyncio.run(main())
"""


def test_processes__share_the_work_and_may_die(app: Application) -> None:
    """Each has its users' events; the presence of one that was killed expires."""

    async def scenario() -> None:
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", READER, app.server.url), cwd=ROOT, stdout=PIPE
        )
        assert other.stdout is not None
        try:
            assert await other.stdout.readline() == b"0.0.0\n"
            async with app.streams() as streams, streams.open("u1", within_s=HANG_S) as stream:
                app.publish(*["u1"] * 20)
                assert len(await numbers(stream, 20)) == 20
                lines = [(await other.stdout.readline()).split() for _ in range(20)]
                assert {line[0] for line in lines} == {b"notification"}
                assert lines[-1][1].decode() == stream.cursor
                assert await streams.push("u1", "typing", {}) == 2
                assert (await other.stdout.readline()).split()[0] == b"message"
                async with app.presence() as presence:
                    other.kill()
                    await other.wait()

                    async def is_alone() -> bool:
                        with suppress(Unavailable):  # a server that stands still for seconds
                            return await presence.locate("u1") == (streams.instance,)
                        return False

                    await until(is_alone, "its presence expires")
        finally:
            if other.returncode is None:
                other.kill()
                await other.wait()
        # What was killed leaves keys that expire.
        app.client.flushall()

    app.run(scenario)
