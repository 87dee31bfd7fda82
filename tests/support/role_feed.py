"""What a writer of the feed does in Redis, and a program that publishes into it, as steps."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

from galaxy_notify.feed import Feed
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed_store import migrations
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.stream_member import Waiting
from galaxy_notify.redis_state.consumer_connection import ConsumerConnection
from galaxy_notify.redis_state.count_sweeps import CountSweeps, Swept
from galaxy_notify.redis_state.deliveries import DeliveriesMember
from galaxy_notify.redis_state.feed_backlog import BacklogMember, FeedBacklog
from galaxy_notify.redis_state.feed_calls import FEED_GROUP, MoveLimits, feed_attend, feed_move
from galaxy_notify.redis_state.group import GroupMember, Parking
from galaxy_notify.redis_state.joining import adopt_deployment
from galaxy_notify.redis_state.recent import NewEvent, RecentLimits, new_retraction, user_deliver
from galaxy_notify.redis_state.roles import Role
from galaxy_notify.redis_state.unread import marks_page
from galaxy_notify.settings import settings_from
from galaxy_notify.settings.feed import FeedSettings
from tests.support import events
from tests.support.deliveries import deliver, via
from tests.support.direct_feeds import PLAIN, migrated
from tests.support.feeds import feed_on, publish, rows
from tests.support.postgres import Postgres, quick_server
from tests.support.roles import PASSWORD, Stage, step
from tests.support.wait import wait_until

KEYS = events.KEYS


@step(Role.FEED, lasts=True)
def works(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client, quick_server() as server:
        postgres = Postgres(server, server.create_database())
        asyncio.run(migrations.migrate(FeedSettings(url=postgres.url)))
        events.write_deployment(client)
        publish(client, range(3))
        client.xadd(KEYS.stream, {"nothing": "of ours"})
        login: dict[str, Any] = {"redis__username": stage.user, "redis__password": PASSWORD}
        yield
        with feed_on(stage.server, postgres, **login) as feed:
            feed.wait_for("feed writing")
            # Before, it tried its rights, also on keys on which it needs none of them.
            stage.admin.execute_command("ACL", "LOG", "RESET")
            publish(client, range(3, 6))
            deliver(client, range(7))

            def done() -> bool:
                are_rows = len(rows(postgres)) == 6 and len(via(postgres)) == 6
                return are_rows or bool(stage.denied())

            wait_until(done, "all are rows with a channel, or denied")
            feed.signal(signal.SIGTERM)
            assert feed.ended() == 0


@step(Role.FEED, Role.OPERATOR, lasts=True)
def serves_a_program(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client, quick_server() as server:
        events.write_deployment(client)
        client.zadd(KEYS.presence("u1"), {"gone": 2e12})
        postgres = Postgres(server, server.create_database())
        url = migrated(postgres)
        yield
        with Feed.from_url(url, redis=stage.url) as feed:
            made = feed.publish("u1", **PLAIN)
            feed.mark_read("u1", made.notification_id)
        assert client.hget(KEYS.unread("u1"), "unread") == b"0" or stage.denied()
        assert client.llen(KEYS.recent("u1")) == 2 or stage.denied()


@step(Role.FEED)
def calls_as_a_writer(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        shared = events.write_deployment(client)
        events.publish(client, 1, 2, 3, 4, 5)
        deliver(client, [1, 2])

        async def call(connection: ConsumerConnection) -> None:
            redis = connection.client
            member = GroupMember(redis, KEYS, FEED_GROUP, "w-1")
            await member.join()
            first, second, third = await member.read(3, 1)
            await member.take(Waiting(third.stream_id, "w-1", 0, 1), 0)
            await member.retain({third.stream_id: 0})
            await member.finish({first.stream_id: "", third.stream_id: ""}, None)
            await member.park(Parking(second.stream_id, 1, "why"), 10)
            await run(redis, feed_attend(KEYS, "w-1", ""))
            await run(redis, feed_move(KEYS, "w-1", MoveLimits(10)))
            await FeedBacklog(redis, KEYS, shared, "w-1").attend(10)
            await _read_backlog(BacklogMember(redis, KEYS, "w-1"))
            await _read_deliveries(DeliveriesMember(redis, KEYS, "w-1"))
            await member.forget()

        yield
        asyncio.run(_connected(stage, call))


async def _read_backlog(member: BacklogMember) -> None:
    await member.join()
    first, second = await member.read(2, 1)
    await member.waiting(0, 0, 10)
    await member.take(Waiting(second.stream_id, "w-1", 0, 1), 0)
    await member.exists(first.stream_id)
    await member.retain({first.stream_id: 0})
    await member.park(Parking(second.stream_id, 1, "why"), 10)
    await member.finish({first.stream_id: ""}, None)
    await member.forget()


async def _read_deliveries(member: DeliveriesMember) -> None:
    await member.has_stream()
    await member.join()
    first, second = await member.read(2, 1)
    waiting, _ = await member.waiting(0, 0, 10)
    await member.take_all(waiting, 0)
    await member.exists(first.stream_id)
    await member.release([first.stream_id], 1)
    await member.park(Parking(second.stream_id, 1, "why"), 10)
    await member.finish({first.stream_id: ""}, None)
    await member.forget()


@step(Role.FEED)
def sweeps_counts(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.set(KEYS.swept, "x")

        async def call(connection: ConsumerConnection) -> None:
            sweeps = CountSweeps(connection.client, KEYS, "w-1")
            for _ in range(2):
                await sweeps.lease()
            await sweeps.read()
            await sweeps.write(Swept(1, 1, 1))
            await sweeps.end_lease()

        yield
        asyncio.run(_connected(stage, call))


@step(Role.FEED)
def publishes_counts_and_events(stage: Stage) -> Iterator[None]:
    with stage.server.client() as client:
        events.write_deployment(client)
        client.set(KEYS.unread("u2"), "x")
        client.set(KEYS.recent("u2"), "x")
        for user in ("u1", "u2"):
            client.zadd(KEYS.presence(user), {"gone": 2e12})

        async def call(connection: ConsumerConnection) -> None:
            redis = connection.client
            # What a process asks before all else, and before it tries its rights.
            await run_flow(redis, adopt_deployment("gn"))
            await run_all(redis, [Command(["EXISTS", KEYS.meta])])
            marks = Marks(redis, connection.key_space)
            await marks.publish({user: Counts(1, 1, 1, 1) for user in ("u1", "u2")})
            await marks.read("u1")
            await marks_page(redis, connection.key_space, "0 0")
            new = [
                NewEvent(user, events.notification_id(n), b"event")
                for n, user in ((1, "u1"), (2, "u1"), (2, "u1"), (3, "u2"))
            ]
            new.append(new_retraction("u1", events.notification_id(2)))
            await run(redis, user_deliver(KEYS, RecentLimits(1, 60_000), "ex", new))

        yield
        asyncio.run(_connected(stage, call))


async def _connected(stage: Stage, call: Any) -> None:
    settings = settings_from({"redis": {"url": stage.url}})
    connection = await ConsumerConnection.open(settings, "w-1")
    assert connection is not None
    try:
        await call(connection)
    finally:
        await connection.close()
