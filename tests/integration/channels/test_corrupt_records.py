"""Records that a worker cannot send: each is a dead letter, and its neighbours are sent."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgpack
import pytest

from galaxy_notify.model.notification import encode_record
from tests.support.channel_world import channel_sections, world_of
from tests.support.deployment import Deploy
from tests.support.servers import Server

_DIGEST = bytes(8)


def _content(**fields: Any) -> bytes:
    packed: bytes = msgpack.packb(fields, datetime=True)
    return packed


@pytest.mark.parametrize(
    "content",
    [
        _content(data={"a": b"\xff"}),
        _content(data={"a": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}),
        _content(data={"a": float("nan")}),
        _content(title=1),
    ],
    ids=["bytes", "extension", "not finite", "title"],
)
def test_record__with_what_json_does_not_have(
    server: Server, deploy: Deploy, content: bytes
) -> None:
    """No event could be made of it, for any kind of channel."""
    world = world_of(deploy(server, **channel_sections()))
    bad, good = world.notify("u1", "u2", data={"a": 1})[0], world.notify("u3")[0]
    record = encode_record(_DIGEST, 1, "game.turn.ready", "lobby", content)
    world.deployment.client.hset(world.deployment.record(bad)[0], "record", record)

    async def scenario() -> None:
        async with world.working():
            await world.until_status(bad, "dead_letter")
            await world.until_status(good, "delivered")
        failure = world.deployment.route(bad).history[-1].failure_class
        assert failure == "record_corrupt"
        assert world.kind.users == ["u3"]

    asyncio.run(scenario())
