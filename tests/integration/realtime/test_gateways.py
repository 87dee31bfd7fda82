"""The registry of gateways: what an instance reports is renewed, forgotten and removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest
import redis.asyncio

from galaxy_notify import __version__
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.gateways import GATEWAY_KEPT_MS, REPORT_TTL_MS, GatewayRegistry
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from tests.support.servers import Server

KEY_SPACE = KeySpace("gn", SharedSettings(shards=2, channels=("push",)))
KEYS = KEY_SPACE.keys(0)
OWN = KEYS.gateway("gw-1")

Scenario = Callable[[redis.asyncio.Redis, GatewayRegistry], Awaitable[None]]


def _run(server: Server, scenario: Scenario) -> None:
    async def body() -> None:
        async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
            await scenario(client, GatewayRegistry(client, KEY_SPACE, "gw-1", consumes=False))

    asyncio.run(body())


def test_report__says_who_serves_how_many(any_server: Server) -> None:
    """The entry has the process, its halves and its last numbers, and expires by itself."""

    async def scenario(client: redis.asyncio.Redis, registry: GatewayRegistry) -> None:
        await registry.report(3, 2)
        await registry.report(5, 4)
        found = await client.hgetall(OWN)
        assert (found["connections"], found["users"]) == ("5", "4")
        assert (found["consumes"], found["serves"]) == ("0", "1")
        assert (found["pid"], found["version"]) == (str(os.getpid()), __version__)
        assert 0 < int(found["started_ms"]) <= int(found["progress_ms"])
        assert 0 < await client.pttl(OWN) <= REPORT_TTL_MS
        assert await client.zscore(KEYS.gateways, "gw-1") == int(found["progress_ms"])

    _run(any_server, scenario)


def test_report__removes_the_names_of_those_who_are_long_gone(any_server: Server) -> None:
    """Who made no progress for an hour is forgotten; who is silent for a minute is not yet."""

    async def scenario(client: redis.asyncio.Redis, registry: GatewayRegistry) -> None:
        await registry.report(0, 0)
        now_ms = int((await client.hgetall(OWN))["progress_ms"])
        long_ago = now_ms - GATEWAY_KEPT_MS - 1
        await client.zadd(KEYS.gateways, {"gw-old": long_ago, "gw-silent": now_ms - 60_000})
        await registry.report(0, 0)
        assert await client.zrange(KEYS.gateways, 0, -1) == ["gw-silent", "gw-1"]

    _run(any_server, scenario)


def test_leave__removes_the_entry(any_server: Server) -> None:
    """An instance that ends leaves no key behind; to leave twice is harmless."""

    async def scenario(client: redis.asyncio.Redis, registry: GatewayRegistry) -> None:
        await registry.report(1, 1)
        await registry.leave()
        await registry.leave()
        assert await client.keys("*") == []

    _run(any_server, scenario)


def test_report__raises_the_fault_of_any_command(any_server: Server) -> None:
    """A key of another type is a fault, also where the rest of the pipeline was done."""

    async def scenario(client: redis.asyncio.Redis, registry: GatewayRegistry) -> None:
        await client.set(KEYS.gateways, "foreign")
        with pytest.raises(RedisFault) as error:
            await registry.report(1, 1)
        assert error.value.fault.code == "WRONGTYPE"

    _run(any_server, scenario)
