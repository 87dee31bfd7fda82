"""Connections that are to end are not lent, and those that are lent are not ended."""

from __future__ import annotations

import asyncio
import threading
from queue import Queue
from typing import Any

import pytest
import redis
from redis.exceptions import ResponseError

from galaxy_notify.redis_client.connection import async_client, sync_client
from galaxy_notify.redis_client.nodes import refresh_primary, refresh_primary_sync
from tests.support.refusing import read_only
from tests.support.servers import Server
from tests.support.wait import HANG_S, wait_until


def test_unblocked_connection__is_not_used_again(any_server: Server) -> None:
    """A server that becomes a replica ends blocking calls and their connections; so do we."""

    async def run() -> None:
        client = async_client(any_server.url)
        pool: Any = client.connection_pool
        connection = await pool.get_connection()
        await connection.send_command("BLPOP", "nothing", int(HANG_S))
        with any_server.client() as other:
            await asyncio.to_thread(
                wait_until, lambda: other.info("clients")["blocked_clients"], "it blocks"
            )
        with read_only(any_server), pytest.raises(ResponseError, match="UNBLOCKED"):
            await connection.read_response()
        assert not connection.is_connected
        await pool.release(connection)
        assert await client.ping()
        await client.aclose()

    asyncio.run(run())


def test_refresh_primary__spares_the_calls_that_begin_meanwhile(server: Server) -> None:
    """Idle connections are closed at once, none of them after it has been lent."""

    async def run() -> None:
        client = async_client(server.url, connections=4)
        for _ in range(50):
            await asyncio.gather(*(client.ping() for _ in range(4)))
            await asyncio.gather(refresh_primary(client), *(client.ping() for _ in range(4)))
        await client.aclose()

    asyncio.run(run())


def test_refresh_primary_sync__spares_what_another_thread_is_lent_meanwhile(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that asks while idle connections are closed is lent one that stays open."""
    client = sync_client(server.url)
    pool: Any = client.connection_pool
    for connection in [pool.get_connection() for _ in range(8)]:
        pool.release(connection)
    lent: Queue[Any] = Queue()

    def ask() -> None:
        connection = pool.get_connection()
        connection.send_command("PING")
        lent.put(connection)

    lender = threading.Thread(target=ask)
    disconnect: Any = redis.UnixDomainSocketConnection.disconnect

    def slowly(*args: Any) -> None:
        if lender.ident is None:
            lender.start()
            # One that has to wait for us is not lent before this ends.
            lender.join(0.1)
        disconnect(*args)

    monkeypatch.setattr(redis.UnixDomainSocketConnection, "disconnect", slowly)
    refresh_primary_sync(client)
    connection = lent.get(timeout=HANG_S)
    assert connection.read_response() == b"PONG"
    pool.release(connection)
    client.close()
