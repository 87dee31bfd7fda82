"""What a gateway process does, as steps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from galaxy_notify.errors import GalaxyNotifyError
from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.intake.rules.preferences import deleted, resumed
from galaxy_notify.model.cursor import BEGINNING, Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.realtime import Presence, Streams
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.logouts import Logouts
from galaxy_notify.realtime.own_preferences import OwnPreferences
from galaxy_notify.realtime.resident import Joined
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.realtime.whereabouts import online_page
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.stream_member import Waiting
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.gateways import REALTIME_GROUP, GatewayRegistry
from galaxy_notify.redis_state.group import GroupMember, Parking
from galaxy_notify.redis_state.inbox import Inbox, Telling, tell
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.preferences import UserChange
from galaxy_notify.redis_state.recent import (
    NewEvent,
    RecentLimits,
    RecentPlace,
    new_retraction,
    presence_attend,
    presence_end,
    recent_read,
    user_deliver,
)
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.tickets import Grant, Tickets
from galaxy_notify.redis_state.unread import UserCounts, mark_query, unread_mark
from galaxy_notify.settings import settings_from
from tests.support import delivering, events
from tests.support.daemons import daemon_on
from tests.support.roles import PASSWORD, Stage, step
from tests.support.wait import HANG_S, until, wait_until

KEYS = events.KEYS


@step(Role.GATEWAY, lasts=True)
def delivers(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.xgroup_create(KEYS.stream, REALTIME_GROUP, id="0", mkstream=True)
        events.publish(client, 1, 2, 3)
        client.xreadgroup(REALTIME_GROUP, "gone", {KEYS.stream: ">"}, count=1)
        client.xadd(KEYS.stream, {"nothing": "of ours"})
        client.zadd(KEYS.presence("u1"), {"gone": 2e12})

        def done() -> bool:
            is_done = delivering.pending(client) == 0 and len(events.parked(client)) == 1
            return is_done or bool(stage.denied())

        async def deliver() -> None:
            settings = delivering.settings_of(stage.url, reclaim_idle_ms=1000)
            async with delivering.delivering(settings):
                await until(done, "all is delivered or parked, or denied")

        yield
        asyncio.run(deliver())


@step(Role.GATEWAY, lasts=True)
def works(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        login = {"redis__username": stage.user, "redis__password": PASSWORD}
        access = {"audience": "users", "jwt_algorithm": "HS256", "jwt_secret": "s" * 32}
        given = login | {f"realtime__{name}": value for name, value in access.items()}
        yield
        with daemon_on(stage.server, command="gateway", realtime__port=0, **given) as gateway:
            gateway.wait_for("consumer started")
            # Before, it tried its rights, also on keys on which it needs none of them.
            stage.admin.execute_command("ACL", "LOG", "RESET")
            events.publish(client, 1)

            def done() -> bool:
                return bool(delivering.offsets(client, "u1") or stage.denied())

            wait_until(done, "it is delivered, or denied")
            gateway.signal(signal.SIGTERM)
            assert gateway.ended() == 0


@step(Role.GATEWAY, lasts=True)
def serves_an_application(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        events.publish(client, 1)
        login: dict[str, Any] = {"username": stage.user, "password": PASSWORD}

        async def serve() -> None:
            async with (
                Streams.from_url(stage.url, **login) as streams,
                Presence.from_url(stage.url, **login) as presence,
                presence.register("u2"),
                streams.open("u1", "unknown.1.abcd", within_s=HANG_S) as stream,
            ):
                await anext(stream)
                assert await streams.push("u1", "typing", {}) == 1
                assert await presence.is_online("u1")
                assert {user async for user in presence.online_users()} == {"u1", "u2"}

        yield
        # What is refused shows in the log of the server.
        with suppress(GalaxyNotifyError):
            asyncio.run(serve())


@step(Role.GATEWAY)
def calls_as_a_member(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        events.publish(client, 1, 2, 3)

        async def call(connection: ConsumerConnection) -> None:
            member = GroupMember(connection.client, KEYS, REALTIME_GROUP, "gw-1", 3_600_000)
            await member.join()
            first, second, third = await member.read(3, 1)
            await member.waiting(0, 0, 10)
            await member.take(Waiting(third.stream_id, "gw-1", 0, 1), 0)
            await member.exists(first.stream_id)
            await member.retain({first.stream_id: 0})
            await member.park(Parking(second.stream_id, 1, "why"), 10)
            await member.finish({first.stream_id: "", third.stream_id: ""}, None)
            await member.forget()

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def calls_for_users(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.set(KEYS.recent("u2"), "x")
        client.set(KEYS.presence("u2"), "x")

        async def call(connection: ConsumerConnection) -> None:
            redis = connection.client
            new = [
                NewEvent(user, events.notification_id(n), b"event")
                for n, user in enumerate(("u1", "u1", "u2", "u3"), 1)
            ]
            new.append(new_retraction("u1", events.notification_id(2)))
            await run(redis, user_deliver(KEYS, RecentLimits(1, 60_000), "ex", new))
            await run(redis, presence_attend(KEYS, "gw-1", ["u1", "u2"], 60_000))
            joined = Joined(redis, connection.key_space)
            assert set((await online_page(joined, "0 0")).users) == {"u1", "u2"}
            places = [
                RecentPlace("u1", Cursor("ex0", 1, "00")),
                RecentPlace("u3", BEGINNING),
            ]
            await run(redis, recent_read(KEYS, places, most=100, count=10))
            await run_all(redis, [presence_end(KEYS, "gw-1", "u1")])

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def marks_counts(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.set(KEYS.unread("u2"), "x")

        async def call(connection: ConsumerConnection) -> None:
            marks = [UserCounts(user, Counts(1, 1, 1, 1)) for user in ("u1", "u2")]
            await run(connection.client, unread_mark(KEYS, marks))
            await run_all(connection.client, [mark_query(KEYS, "u1")])

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def changes_preferences(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.hset(KEYS.preferences("u2"), mapping={"*": "{}", "quiet": "q"})

        async def call(connection: ConsumerConnection) -> None:
            own = OwnPreferences(connection.client, connection.key_space)
            for user in ("u1", "u2"):
                seen = (await own.get(user)).digest
                await own.change(
                    [UserChange(user, {"silenced": b"1"}, whole=True, expected=[seen])]
                )
                await own.change([resumed(user)])
            await own.change([deleted("u2")])

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def lets_users_in(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)

        async def call(connection: ConsumerConnection) -> None:
            tickets = Tickets(connection.client, connection.key_space)
            await tickets.redeem(await tickets.issue(Grant("u1", 0.0, 2e9)))
            own = Attendance(connection.client, connection.key_space, "gw-1", 1000, 100)
            # Beside the presence: whether the user was logged out.
            await own.attend(["u1"])

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def announces_what_users_mark(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.xadd("{gn:i:gw-1}:inbox", {"x": ""})
        client.zadd(KEYS.presence("u1"), {"gw-1": 2e12})

        async def announce() -> None:
            announcer = Announcer(settings_from({"redis": {"url": stage.url}}))
            await announcer.announce(News({"u1": Counts(1, 1, 2, 1)}))
            await announcer.close()

        async def call(connection: ConsumerConnection) -> None:
            logouts = Logouts(connection.client, connection.key_space)
            await logouts.voids(TokenUser("u1", 0.0, 2e9))

        yield
        asyncio.run(announce())
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def keeps_an_inbox(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)

        async def call(connection: ConsumerConnection) -> None:
            inbox = Inbox(connection.client, "gn", "gw-1")
            await inbox.renew()
            await inbox.renew()
            telling = Telling("u1", Cursor("ex0", 1, "00"), b"event", 1)
            await run_all(connection.client, [tell("gn", "gw-1", [telling])])
            await inbox.read(1, 10)
            await inbox.close()

        yield
        asyncio.run(connected(stage, call))


@step(Role.GATEWAY)
def joins_and_registers(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)

        async def call(connection: ConsumerConnection) -> None:
            redis = connection.client
            # What a process asks before all else, and before it tries its rights.
            await run_flow(redis, adopt_deployment("gn"))
            await run_all(redis, [Command(["EXISTS", KEYS.meta])])
            registry = GatewayRegistry(redis, connection.key_space, "gw-1")
            await registry.report(1, 1)
            await registry.leave()

        yield
        asyncio.run(connected(stage, call))


async def connected(stage: Stage, call: Any) -> None:
    """Call with a connection of the user."""
    settings = settings_from({"redis": {"url": stage.url}})
    connection = await ConsumerConnection.open(settings, "gw-1")
    assert connection is not None
    try:
        await call(connection)
    finally:
        await connection.close()
