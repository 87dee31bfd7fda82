"""How streams of an application end: cancelled, closed, while Redis is away, in another loop."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from galaxy_notify.errors import (
    AlreadyClosed,
    ConfigurationError,
    OtherEventLoop,
    StreamClosed,
    Unavailable,
)
from galaxy_notify.operations.logging_out import log_out
from galaxy_notify.realtime import Streams
from galaxy_notify.realtime.consuming import EventDelivery
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.application import Application, numbers
from tests.support.gateways import KEY_SPACE
from tests.support.wait import HANG_S, until


@pytest.mark.parametrize("away", ["kill", "pause"])
def test_stream__stays_while_redis_is_away(own_app: Application, away: str) -> None:
    """It says that events are late, and then has all of them; calls fail in bounded time."""
    app, server = own_app, own_app.server

    async def scenario() -> None:
        async with app.streams() as streams:
            async with streams.open("u1", within_s=HANG_S) as stream:
                app.publish("u1")
                assert await numbers(stream, 1) == [1]
                getattr(server, away)()
                event = await anext(stream)
                assert (event.kind, event.payload) == ("status", {"live": False})
                with pytest.raises(Unavailable):
                    await streams.push("u1", "typing", {})
                with pytest.raises(Unavailable):
                    async with streams.open("u2", within_s=0):
                        pass
                server.resume() if away == "pause" else server.start()
                event = await anext(stream)
                assert (event.kind, event.payload) == ("status", {"live": True})
                app.publish("u1")
                assert await numbers(stream, 1) == [2]
                assert await streams.push("u1", "typing", {}) == 1
            await until(lambda: not app.instances("u1"), "presence ends")

    app.run(scenario)


@pytest.mark.parametrize("away", ["kill", "pause"])
def test_close__ends_while_redis_is_away(own_app: Application, away: str) -> None:
    """Readers are told, nothing is left in this process, and presence expires."""
    app = own_app

    async def scenario() -> None:
        streams, presence = app.streams(), app.presence()
        async with streams.open("u1", within_s=HANG_S) as stream:
            await presence.register("u1")
            getattr(app.server, away)()
            reading = asyncio.ensure_future(numbers(stream, 1))
            await asyncio.gather(streams.close(), streams.close(), presence.close())
            with pytest.raises(StreamClosed, match="shutdown"):
                await reading
        with pytest.raises(AlreadyClosed):
            await streams.push("u1", "t", {})
        with pytest.raises(AlreadyClosed):
            presence.register("u1")
        app.server.resume() if away == "pause" else app.server.start()
        app.client.flushall()

    app.run(scenario)


def test_close__that_is_cancelled_ends_all_the_same(app: Application) -> None:
    """It is waited for, and then the cancellation goes on."""

    async def scenario() -> None:
        for turns in range(12):
            streams = app.streams()
            async with streams.open("u1", within_s=HANG_S):
                closing = asyncio.ensure_future(streams.close())
                for _ in range(turns):
                    await asyncio.sleep(0)
                closing.cancel()
                await asyncio.wait([closing])
            await streams.close()
            assert app.instances("u1") == []

    app.run(scenario)


#: How many turns of the event loop after its beginning a task is cancelled.
MOMENTS = st.lists(st.integers(0, 120), min_size=1, max_size=20)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moments=MOMENTS)
@example(moments=list(range(40)))
def test_cancellation__at_any_moment_leaks_nothing(app: Application, moments: list[int]) -> None:
    """Wherever a task that opens, reads and pushes is cancelled, its presence ends."""

    async def use(streams: Streams) -> None:
        async with streams.open("u1") as stream:
            await streams.push("u1", "typing", {})
            app.publish("u1")
            async for _ in stream:
                pass

    async def scenario() -> None:
        async with app.streams() as streams:
            for turns in moments:
                using = asyncio.ensure_future(use(streams))
                for _ in range(turns):
                    await asyncio.sleep(0)
                using.cancel()
                await asyncio.wait([using])
                assert using.cancelled()
            await until(lambda: not app.instances("u1"), "presence ends")
            async with streams.open("u1", within_s=HANG_S) as stream:
                app.publish("u1")
                # A push whose caller was cancelled is completed, and may come first.
                assert len(await numbers(stream, 1)) == 1

    app.run(scenario)


def test_streams__belong_to_one_event_loop(app: Application) -> None:
    """Another loop, and another thread's, get a clear error; each may have its own."""

    async def scenario() -> None:
        async with app.streams() as streams, streams.open("u1", within_s=HANG_S):
            raised: list[BaseException] = []

            async def elsewhere() -> None:
                for call in (streams.push("u1", "t", {}), streams.open("u1").__aenter__()):
                    with pytest.raises(OtherEventLoop, match="create one in each") as error:
                        await call
                    raised.append(error.value)
                with pytest.raises(OtherEventLoop):
                    await streams.close()
                async with app.streams() as own, own.open("u2", within_s=HANG_S):
                    pass

            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            await until(lambda: not thread.is_alive(), "the thread has ended")
            assert len(raised) == 2
            assert await streams.push("u1", "t", {}) == 1

    app.run(scenario)


def test_streams__left_open_by_their_event_loop_may_be_closed_in_the_next(app: Application) -> None:
    """What a program forgot to close is of no use there, and keeps no connection."""
    streams, presence = app.streams(), app.presence()

    async def use() -> None:
        await presence.register("u1")
        async with streams.open("u1", within_s=HANG_S):
            pass

    async def end() -> None:
        with pytest.raises(OtherEventLoop):
            await presence.is_online("u1")
        await streams.close()
        await presence.close()
        # What nobody removed expires.
        app.client.flushall()

    asyncio.run(use())
    app.run(end)


def test_streams__that_may_not_work_say_why(app: Application) -> None:
    """Each call raises what an operator has to change; nothing is retried for ever."""
    admin: Any = app.client
    rules = ["on", ">secret", "~*", "+@all", "-xreadgroup"]
    admin.execute_command("ACL", "SETUSER", "poor", *rules)

    async def scenario() -> None:
        async with app.streams(username="poor", password="secret") as streams:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="user poor may not run XREADGROUP"):
                    async with streams.open("u1", within_s=HANG_S):
                        pass

            async def fails() -> bool:
                try:
                    await streams.push("u1", "t", {})
                except ConfigurationError:
                    return True
                return False

            assert await fails()

    app.run(scenario)
    admin.execute_command("ACL", "DELUSER", "poor")


def test_streams__whose_work_fails_end(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers get the reason, and every call raises it."""
    fails = asyncio.Event()

    async def run(delivery: EventDelivery) -> None:
        await fails.wait()
        raise ConfigurationError("a right was taken away")

    monkeypatch.setattr(EventDelivery, "run", run)

    async def scenario() -> None:
        async with app.streams() as streams:
            async with streams.open("u1", within_s=HANG_S) as stream:
                fails.set()
                with pytest.raises(StreamClosed, match="failed") as closed:
                    await anext(stream)
                assert isinstance(closed.value.__cause__, ConfigurationError)
            await until(lambda: streams._failure, "the work has ended")
            with pytest.raises(ConfigurationError, match="taken away"):
                await streams.push("u1", "t", {})

    app.run(scenario)


def test_logout__ends_streams_of_earlier_logins(app: Application) -> None:
    """Those without a time of login go on."""
    deployment = Deployment(app.client, KEY_SPACE)

    async def scenario() -> None:
        async with app.streams() as streams:
            now = time.time()
            async with (
                streams.open("u1", issued_at=now - 60, within_s=HANG_S) as earlier,
                streams.open("u1", issued_at=now + 3600) as later,
                streams.open("u1") as any_time,
            ):
                log_out(deployment, "u1")
                with pytest.raises(StreamClosed, match="logout"):
                    await anext(earlier)
                assert await streams.push("u1", "t", {}) == 1
                assert {(await anext(one)).kind for one in (later, any_time)} == {"message"}
            with pytest.raises(StreamClosed, match="logout"):
                async with streams.open("u1", issued_at=now - 60, within_s=HANG_S):
                    pass

    app.run(scenario)
