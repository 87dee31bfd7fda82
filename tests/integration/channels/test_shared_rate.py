"""What counts for the rate of a channel: what is sent, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from galaxy_notify.errors import Unavailable
from tests.support.channel_world import ChannelWorld, channel_sections, world_of
from tests.support.deployment import Deploy
from tests.support.servers import Server

MakeWorld = Callable[..., ChannelWorld]


@pytest.fixture
def make(server: Server, deploy: Deploy) -> MakeWorld:
    """Make a process that serves a channel with these fields."""
    return lambda **fields: world_of(deploy(server, **channel_sections(**fields)))


@pytest.mark.parametrize("places", [1, 4])
def test_rate__is_not_used_up_by_what_is_not_sent(make: MakeWorld, places: int) -> None:
    """Of a rate of one an hour, routes that are skipped and put off leave the one send."""
    world = make(rate="1/h", concurrency=places)
    world.book.put("none")
    world.book.put("filtered", "a", filtered=True)
    away = iter([Unavailable("away", code="connection")])

    def fails() -> None:
        if error := next(away, None):
            raise error

    world.book.fails = fails

    async def scenario() -> None:
        world.notify("put-off", due_at=world.deployment.now() - 2000)
        world.notify("none", "filtered", due_at=world.deployment.now() - 1000)
        (wanted,) = world.notify("wanted")
        async with world.working():
            await world.until_status(wanted, "delivered")
        assert world.kind.users == ["wanted"]

    asyncio.run(scenario())
