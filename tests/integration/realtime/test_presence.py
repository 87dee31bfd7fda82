"""Presence of an application that holds connections of its own, on real servers."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxy_notify.errors import AlreadyClosed, InvalidQuery, OtherEventLoop, Unavailable
from galaxy_notify.realtime import Presence, Registration
from tests.support.application import Application, numbers
from tests.support.gateways import KEY_SPACE
from tests.support.program import ROOT
from tests.support.wait import HANG_S, until


async def online(presence: Presence) -> set[str]:
    """Return the users who are online."""
    return {user async for user in presence.online_users()}


def test_user__is_online_while_a_registration_is_left(app: Application) -> None:
    """Any number of them, in any process; ending one twice ends no other."""

    async def scenario() -> None:
        async with app.presence(instance="chat-1") as here, app.presence(instance="b") as there:
            first = await here.register("u1")
            second = await here.register("u1")
            async with there.register("u1") as third, there.register("u2"):
                assert third.user == "u1"
                assert await here.locate("u1") == ("b", "chat-1")
                assert await here.locate("u2") == ("b",)
                assert await online(here) == {"u1", "u2"}
            await first.unregister()
            await first.unregister()
            assert await there.locate("u1") == ("chat-1",)
            assert await there.is_online("u1")
            await asyncio.gather(second.unregister(), second.unregister())
            assert not await there.is_online("u1")
            assert await there.locate("u2") == ()
            assert await online(there) == set()

    app.run(scenario)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["u1", "u2"])), max_size=25))
def test_user__is_online_whatever_comes_and_goes(
    app: Application, steps: list[tuple[int, str]]
) -> None:
    """Registrations begin and end in any order, some twice, some cancelled while they begin."""

    async def scenario() -> None:
        async with app.presence() as presence:
            held: list[Registration] = []
            begun = []
            for what, user in steps:
                if what <= 2:
                    held.append(presence.register(user))
                elif what == 3:
                    waiting = asyncio.ensure_future(_awaited(presence, user))
                    await asyncio.sleep(0)
                    waiting.cancel()
                    begun.append(waiting)
                elif held:
                    begun.append(asyncio.ensure_future(held[what % len(held)].unregister()))
                    if what == 5:
                        await begun[-1]
                        held.pop(what % len(held))
            await asyncio.gather(*begun, return_exceptions=True)
            left = [one for one in held if not one._is_over]
            await asyncio.gather(*left)
            assert await online(presence) == {one.user for one in left}

    app.run(scenario)


async def _awaited(presence: Presence, user: str) -> None:
    await presence.register(user)


def test_presence__of_many_at_once_ends_offline(app: Application) -> None:
    """Fifty connections of a user come and go together."""

    async def one(presence: Presence) -> None:
        async with presence.register("u1"):
            assert await presence.is_online("u1")

    async def scenario() -> None:
        async with app.presence() as presence:
            await asyncio.gather(*(one(presence) for _ in range(50)))
            assert not await presence.is_online("u1")

    app.run(scenario)


def test_presence__is_shared_with_streams(app: Application) -> None:
    """Each sees the other; events go to streams only, and end no registration."""

    async def scenario() -> None:
        async with (
            app.presence(instance="chat-1") as presence,
            app.streams() as streams,
            streams.open("u1", within_s=HANG_S) as stream,
            presence.register("u1"),
        ):
            assert set(await presence.locate("u1")) == {"chat-1", streams.instance}
            assert await streams.push("u1", "typing", {}) == 1
            app.publish("u1")
            assert (await anext(stream)).kind == "message"
            assert await numbers(stream, 1) == [1]
            assert len(await presence.locate("u1")) == 2

    app.run(scenario)


def test_presence__is_noted_again_after_redis_lost_it(own_app: Application) -> None:
    """Calls fail while Redis is away; what was registered is there again, and what ended is not."""

    app = own_app

    async def scenario() -> None:
        async with app.presence(presence_ttl_ms=3000) as presence:
            kept, ended = await presence.register("u1"), await presence.register("u2")
            app.server.kill()
            with pytest.raises(Unavailable):
                await presence.is_online("u1")
            ending = asyncio.ensure_future(ended.unregister())
            late = presence.register("u3")
            app.server.start()
            app.client.flushall()
            Application(app.server, app.client)
            await asyncio.gather(ending, late)

            async def is_noted() -> bool:
                return await online(presence) == {"u1", "u3"}

            await until(is_noted, "both are noted again")
            await kept.unregister()
            await late.unregister()
            assert await online(presence) == set()

    app.run(scenario)


def test_presence__is_renewed_while_users_come_and_go(app: Application) -> None:
    """A user who stays is online for longer than the presence of once."""

    async def scenario() -> None:
        async with app.presence(presence_ttl_ms=3000) as presence, app.presence() as other:
            await presence.register("u1")
            key = KEY_SPACE.keys_of_user("u1").presence("u1")
            first: Any = app.client.zrange(key, 0, -1, withscores=True)

            async def is_renewed() -> bool:
                async with presence.register("u2"):
                    found: Any = app.client.zrange(key, 0, -1, withscores=True)
                    return bool(found[0][1] > first[0][1])

            await until(is_renewed, "it is renewed")
            assert await other.is_online("u1")

    app.run(scenario)


HOLDER = """
import asyncio, sys
from galaxy_notify.realtime import Presence
async def main():
    async with Presence.from_url(sys.argv[1], presence_ttl_ms=3000, instance="gone") as presence:
        async with presence.register("u1"), presence.register("u2"):
            print("here", flush=True)
            await asyncio.Event().wait()
asyncio.run(main())
"""


def test_presence__of_a_process_that_died_expires(app: Application) -> None:
    """Its users are online for the time to live, and no longer; those of others stay."""

    async def scenario() -> None:
        other = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HOLDER, app.server.url), cwd=ROOT, stdout=PIPE
        )
        try:
            assert other.stdout is not None
            assert await other.stdout.readline() == b"here\n"
            async with app.presence(instance="stays") as presence, presence.register("u1"):

                async def are_both() -> bool:
                    return await presence.locate("u1") == ("gone", "stays")

                # The other process may have stood still for longer than its presence lasts.
                await until(are_both, "both are there")
                other.kill()
                await other.wait()

                async def is_gone() -> bool:
                    return await presence.locate("u1") == ("stays",) and not (
                        await presence.is_online("u2")
                    )

                await until(is_gone, "it expires")
                assert await online(presence) == {"u1"}
        finally:
            if other.returncode is None:
                other.kill()
                await other.wait()
        app.client.flushall()

    app.run(scenario)


def test_presence__says_what_is_not_allowed(app: Application) -> None:
    """An invalid user, another event loop, and a call after the end."""
    presence = app.presence()

    async def scenario() -> None:
        with pytest.raises(InvalidQuery, match="user: must"):
            presence.register("no user")
        with pytest.raises(InvalidQuery, match="user: must"):
            await presence.is_online("")
        assert await presence.locate("u1") == ()
        elsewhere = asyncio.to_thread(lambda: asyncio.run(presence.is_online("u1")))
        with pytest.raises(OtherEventLoop, match="this Presence works in another event loop"):
            await elsewhere
        registration = await presence.register("u1")
        await presence.close()
        await presence.close()
        await registration.unregister()
        with pytest.raises(AlreadyClosed):
            await presence.is_online("u1")

    app.run(scenario)
