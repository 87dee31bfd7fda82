"""How a consumer begins and ends: what it refuses, and what it leaves behind."""

from __future__ import annotations

import asyncio

import pytest
import redis

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.gateway import ConsumerOptions, Event, GatewayConsumer
from galaxy_notify.redis_state.keys import Keys
from tests.support.events import (
    PATIENT,
    Seen,
    consuming,
    event_id,
    pending,
    pending_entries,
    publish,
    write_deployment,
)
from tests.support.servers import Server
from tests.support.wait import until


def test_consumer__waits_for_a_deployment(server: Server) -> None:
    """A gateway may start before anything was accepted, and before Redis is there."""
    seen = Seen()

    async def scenario(client: redis.Redis) -> None:
        async with consuming(server, seen):
            write_deployment(client, stream="events")
            publish(client, 1, keys=Keys("gn", 0, "events"))
            await until(lambda: seen.numbers == [1], "the event is handled")

    with server.client() as client:
        asyncio.run(scenario(client))


def test_consumer__stop_finishes_what_is_in_hand(server: Server) -> None:
    """A stop lets the handler end, acknowledges it, and leaves the rest to be taken at once."""
    began, may_end = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def handler(event: Event) -> None:
        began.set()
        await may_end.wait()
        done.append(event.event_id)

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1, 2)
        patient = ConsumerOptions(reclaim_idle_s=600)
        async with consuming(server, handler, options=patient) as gateway:
            await began.wait()
            gateway.stop()
            may_end.set()
        assert done == [event_id(1)]
        (left,) = pending_entries(client)
        assert left["times_delivered"] == 1
        assert left["time_since_delivered"] >= 600_000
        seen = Seen()
        async with consuming(server, seen, consumer="gw-2", options=patient):
            await until(lambda: seen.numbers == [2], "another consumer has the rest")

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_consumer__stop_bounds_a_handler(server: Server) -> None:
    """A handler that does not end in time is ended; its event stays pending."""
    began = asyncio.Event()

    async def handler(_: Event) -> None:
        began.set()
        await asyncio.Event().wait()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        options = ConsumerOptions(stop_within_s=0.1)
        async with consuming(server, handler, options=options) as gateway:
            await began.wait()
            gateway.stop()
        assert pending(client) == 1

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_consumer__cancelled(server: Server) -> None:
    """A cancelled run ends like a stopped one: what is in hand is acknowledged first."""
    began, may_end = asyncio.Event(), asyncio.Event()

    async def handler(_: Event) -> None:
        began.set()
        await may_end.wait()

    async def scenario(client: redis.Redis) -> None:
        publish(client, 1)
        async with GatewayConsumer.from_url(
            server.url, group="gateway", consumer="gw-1", options=PATIENT
        ) as gateway:
            running = asyncio.ensure_future(gateway.run(handler))
            await began.wait()
            running.cancel()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert pending(client) == 0

    with server.client() as client:
        write_deployment(client)
        asyncio.run(scenario(client))


def test_consumer__refuses_names_and_options() -> None:
    """Names that would make odd keys, and options that cannot work, are refused."""
    with pytest.raises(ConfigurationError, match="group"):
        GatewayConsumer.from_url("redis://x", group="a b", consumer="c")
    with pytest.raises(ConfigurationError, match="consumer"):
        GatewayConsumer.from_url("redis://x", group="a", consumer="")
    with pytest.raises(ConfigurationError, match="batch"):
        ConsumerOptions(batch=0)
    with pytest.raises(ConfigurationError, match="handler_timeout_s"):
        ConsumerOptions(reclaim_idle_s=1, handler_timeout_s=1)


def test_consumer__refused_by_redis(server: Server) -> None:
    """A missing permission at the start is a matter of configuration, not of waiting."""

    async def scenario() -> None:
        async with GatewayConsumer.from_url(
            server.url, group="gateway", consumer="gw-1", username="mute", password="secret"
        ) as gateway:
            await gateway.run(Seen())

    with server.client() as client:
        client.acl_setuser("mute", enabled=True, passwords=["+secret"], commands=["+client"])
        try:
            with pytest.raises(ConfigurationError, match="NOPERM"):
                asyncio.run(scenario())
        finally:
            client.acl_deluser("mute")
