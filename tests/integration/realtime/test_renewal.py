"""The presence of the users of an instance: renewed each period, ended with the instance."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import redis.asyncio

from galaxy_notify.realtime import instance as module
from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.telemetry import Telemetry
from tests.support.servers import Server
from tests.support.wait import until

KEY_SPACE = KeySpace("gn", SharedSettings(channels=("push",)))


def test_renewals__of_few_users_are_a_period_apart(server: Server) -> None:
    """Between two of them nothing is waited for but the period itself."""
    pauses: list[float] = []
    spreads: list[float] = []
    wait_for, stop_wait = module._wait_for, StopFlag.wait

    async def waited(event: asyncio.Event, seconds: float | None) -> None:
        if seconds is not None:
            pauses.append(seconds)
        await wait_for(event, seconds)

    async def spread(self: StopFlag, seconds: float = 0.0) -> bool:
        spreads.append(seconds)
        return await stop_wait(self, seconds)

    async def scenario() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            attendance = Attendance(client, KEY_SPACE, "gw-1", 300, 100)
            one = Instance(client, attendance, 0.1, Telemetry.off())
            one.hub.add(Stream("u1", BufferLimits(64, 262_144)))
            with patch.object(module, "_wait_for", waited), patch.object(StopFlag, "wait", spread):
                running = asyncio.create_task(one.run())
                await until(lambda: len(pauses) > 3, "it has renewed the presence")
                one.stop()
                await running

    asyncio.run(scenario())
    assert max(pauses) <= 0.1
    assert spreads == []


def test_presence__of_clients_that_leave_at_the_stop_is_removed(server: Server) -> None:
    """A drain ends streams until the last moment; none of their users counts as connected."""

    async def scenario() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            attendance = Attendance(client, KEY_SPACE, "gw-1", 30_000, 100)
            one = Instance(client, attendance, 0.1, Telemetry.off())
            streams = [Stream(user, BufferLimits(64, 262_144)) for user in ("u1", "u2")]
            running = asyncio.create_task(one.run())
            for stream in streams:
                one.arrive(Arrival(stream, None))
            await until(lambda: all(stream.is_live for stream in streams), "both have begun")
            one.depart(streams[0])
            one.stop()
            await running
            assert await client.keys("*") == []

    asyncio.run(scenario())
