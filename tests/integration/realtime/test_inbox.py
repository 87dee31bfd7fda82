"""The inbox of an instance: made by its owner alone, told in order, gone with its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgpack
import redis
import redis.asyncio

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_state.inbox import TTL_MS, Inbox, Telling, tell, tell_counts
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.unread import UserCounts
from tests.support.servers import Server

KEY = inbox_key("gn", "gw-1")
ONE = Telling("u1", Cursor("e1", 1, "abcd"), b"event one", 1)
TWO = Telling("u2", Cursor("e2", 7, "0123"), b"event two", 2)

Scenario = Callable[[redis.asyncio.Redis, Inbox], Awaitable[None]]


def _run(server: Server, scenario: Scenario) -> None:
    async def body() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            await scenario(client, Inbox(client, "gn", "gw-1"))

    asyncio.run(body())


def test_inbox__gives_what_it_was_told_in_order(any_server: Server) -> None:
    """Batches come as they were told; what was read is cut off."""

    async def scenario(client: redis.asyncio.Redis, inbox: Inbox) -> None:
        assert await inbox.renew()
        replies = await run_all(client, [tell("gn", "gw-1", [ONE, TWO]), tell("gn", "gw-1", [ONE])])
        assert all(replies)
        page = await inbox.read(1, 100)
        assert (page.entries, page.unread) == ([ONE, TWO, ONE], 0)
        assert (await inbox.read(1, 100)).entries == ()
        assert not await inbox.renew()
        assert 0 < await client.pttl(KEY) <= TTL_MS

    _run(any_server, scenario)


def test_inbox__is_made_by_its_owner_alone(any_server: Server) -> None:
    """Whoever tells an instance that is gone gets no id, and leaves no key behind."""

    async def scenario(client: redis.asyncio.Redis, inbox: Inbox) -> None:
        assert await run_all(client, [tell("gn", "gw-1", [ONE])]) == [None]
        await inbox.renew()
        await inbox.close()
        assert await run_all(client, [tell("gn", "gw-1", [ONE])]) == [None]
        assert not await client.exists(KEY)

    _run(any_server, scenario)


def test_inbox__that_was_lost_or_replaced_is_made_again(any_server: Server) -> None:
    """Its owner learns that tellings may be missing."""

    async def scenario(client: redis.asyncio.Redis, inbox: Inbox) -> None:
        await inbox.renew()
        await client.delete(KEY)
        assert await inbox.renew()
        await client.set(KEY, "foreign")
        assert await inbox.renew()
        await run_all(client, [tell("gn", "gw-1", [ONE])])
        assert (await inbox.read(1, 100)).entries == [ONE]

    _run(any_server, scenario)


def test_inbox__passes_over_what_it_cannot_read(any_server: Server) -> None:
    """A forged entry is counted; its neighbours are read."""

    async def scenario(client: redis.asyncio.Redis, inbox: Inbox) -> None:
        await inbox.renew()
        for value in (b"\xc1", b"\x91\x91\xa2u1", b"\x01"):
            await client.xadd(KEY, {b"tellings": value})
        await client.xadd(KEY, {b"other": b"1"})
        await run_all(client, [tell("gn", "gw-1", [ONE])])
        page = await inbox.read(1, 100)
        assert (page.entries, page.unread) == ([ONE], 4)

    _run(any_server, scenario)


def test_inbox__gives_counts(any_server: Server) -> None:
    """Those of several users come in one entry; what is no counts is passed over."""

    async def scenario(client: redis.asyncio.Redis, inbox: Inbox) -> None:
        await inbox.renew()
        given = [UserCounts("u1", Counts(1, 2, 3, 4)), UserCounts("u2", Counts(0, 0, 0, 4))]
        await run_all(client, [tell_counts("gn", "gw-1", given)])
        await client.xadd(KEY, {"counts": msgpack.packb([("u1", 1, 2, 3)])})
        page = await inbox.read(1, 100)
        assert (page.entries, page.unread) == (given, 1)

    _run(any_server, scenario)
