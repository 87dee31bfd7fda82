"""Counts that are published: newest in Redis, told once, whatever Redis does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio

from galaxy_notify.feed.marks import Marks
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.redis_state.recent import presence_attend
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.redis_state.unread import UserCounts
from tests.support.servers import Server

KEY_SPACE = KeySpace("gn", SharedSettings(shards=4))
FIRST, SECOND = Counts(1, 1, 1, 1), Counts(2, 2, 2, 1)

Scenario = Callable[[redis.asyncio.Redis, Marks], Awaitable[None]]


def _run(server: Server, scenario: Scenario) -> None:
    async def body() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await scenario(client, Marks(client, KEY_SPACE))

    asyncio.run(body())


async def _attend(client: redis.asyncio.Redis, instance: str, *users: str) -> Inbox:
    """Let an instance with an inbox hold a connection of each of the users."""
    inbox = Inbox(client, "gn", instance)
    await inbox.renew()
    keys = [KEY_SPACE.keys_of_user(user) for user in users]
    attends = zip(keys, users, strict=True)
    await run_all(client, [presence_attend(key, instance, [user], 30_000) for key, user in attends])
    return inbox


def test_publish__tells_all_instances_of_a_user_once(any_server: Server) -> None:
    """A repeat tells nobody, and a user who is nowhere has a mark all the same."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        users = [f"u{number}" for number in range(300)]
        inboxes = [await _attend(client, name, *users[:-1]) for name in ("gw-1", "gw-2")]
        for _ in range(2):
            await marks.publish(dict.fromkeys(users, FIRST))
        for inbox in inboxes:
            page = await inbox.read(1, 1000)
            assert page.unread == 0
            assert sorted(page.entries) == sorted(UserCounts(user, FIRST) for user in users[:-1])
        assert await marks.read(users[-1]) == FIRST
        assert await marks.read("nobody") is None

    _run(any_server, scenario)


def test_publish__of_an_older_version_tells_nothing(any_server: Server) -> None:
    """Two writers may come in another order than their transactions."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        inbox = await _attend(client, "gw-1", "u1")
        found = [await marks.publish({"u1": counts}) for counts in (SECOND, FIRST)]
        assert [one.marked for one in found] == [{"u1"}, frozenset()]
        assert [*(await inbox.read(1, 100)).entries] == [UserCounts("u1", SECOND)]
        assert await marks.read("u1") == SECOND

    _run(any_server, scenario)


def test_publish__replaces_foreign_keys(any_server: Server) -> None:
    """What stands in the way of one user's mark is no reason for the neighbours to wait."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        await client.set(KEY_SPACE.keys_of_user("u1").unread("u1"), "foreign")
        assert await marks.read("u1") is None
        found = await marks.publish({"u1": FIRST, "u2": FIRST})
        assert (set(found.marked), set(found.refused)) == ({"u1", "u2"}, set())
        assert await marks.read("u1") == FIRST

    _run(any_server, scenario)


def test_publish__after_all_was_lost_tells_again(any_server: Server) -> None:
    """After FLUSHALL counts that are no news are written all the same."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        await marks.publish({"u1": SECOND})
        await client.flushall()
        assert await marks.read("u1") is None
        inbox = await _attend(client, "gw-1", "u1")
        await marks.publish({"u1": SECOND})
        assert [*(await inbox.read(1, 100)).entries] == [UserCounts("u1", SECOND)]

    _run(any_server, scenario)


def test_publish__takes_an_instance_without_an_inbox_out_of_presence(any_server: Server) -> None:
    """It is gone: the next counts are for others."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        inbox = await _attend(client, "gw-1", "u1")
        await inbox.close()
        await marks.publish({"u1": FIRST})
        names: Any = await client.zrange(KEY_SPACE.keys_of_user("u1").presence("u1"), 0, -1)
        assert names == []

    _run(any_server, scenario)


def test_publish__while_redis_refuses_says_whose(any_server: Server) -> None:
    """At maxmemory nothing is raised, and the same counts are taken later."""

    async def scenario(client: redis.asyncio.Redis, marks: Marks) -> None:
        await client.config_set("maxmemory", "1")
        try:
            found = await marks.publish({"u1": FIRST, "u2": FIRST})
        finally:
            await client.config_set("maxmemory", "0")
        assert (set(found.marked), set(found.refused)) == (set(), {"u1", "u2"})
        assert found.fault is not None
        assert found.fault.code == "OOM"
        assert (await marks.publish({"u1": FIRST})).marked == {"u1"}

    _run(any_server, scenario)


def test_publish__while_redis_is_away_says_whose() -> None:
    """The caller learns that these counts are not in Redis, and goes on."""

    async def scenario() -> None:
        client = redis.asyncio.Redis(unix_socket_path="/nowhere/redis.sock")
        found = await Marks(client, KEY_SPACE).publish({"u1": FIRST, "u2": FIRST})
        assert (set(found.marked), set(found.refused)) == (set(), {"u1", "u2"})
        assert found.fault is not None

    asyncio.run(scenario())
