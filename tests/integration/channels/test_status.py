"""What ``status`` shows of external channels: their kinds, and the hosts that do not answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_state.worker_process import EXTERNAL
from tests.support.channel_world import MINE, channel_sections, world_of
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.liveness import alive
from tests.support.servers import Server


def _channels(deployment: DeploymentFixture) -> Any:
    found: Any = read_status(deployment.connected).as_json()["channels"]
    return {name: (one["kind"], one["breakers_open"]) for name, one in found.items()}


def _add_worker(deployment: DeploymentFixture, shown: str) -> None:
    """Let a second worker report what the first one does, but for its external channels."""
    client: Any = deployment.client
    workers, keys = deployment.keys.workers, deployment.keys
    ((first, progress),) = client.zrange(workers, 0, -1, withscores=True)
    fields = client.hgetall(keys.worker(first.decode()))
    client.hset(keys.worker("w-2"), mapping=fields | {EXTERNAL: shown})
    client.zadd(workers, {"w-2": progress})


def test_status__adds_up_what_workers_report(any_server: Server, deploy: Deploy) -> None:
    """A stream channel has no kind; hosts that rest are added up over the workers."""
    deployment = deploy(any_server, **channel_sections())
    assert _channels(deployment) == {"push": (None, 0), "mine": (None, 0)}
    alive(deployment, external=json.dumps({"mine": ["webhook", 2]}))
    assert _channels(deployment) == {"push": (None, 0), "mine": ("webhook", 2)}
    _add_worker(deployment, json.dumps({"mine": ["webhook", 1]}))
    assert _channels(deployment) == {"push": (None, 0), "mine": ("webhook", 3)}


@pytest.mark.parametrize("foreign", ["x", "[1]", '{"mine": 1}', '{"mine": ["log", "x"]}', "é"])
def test_status__survives_what_another_client_wrote(
    server: Server, deploy: Deploy, foreign: str
) -> None:
    """Nothing is reported then."""
    deployment = deploy(server, **channel_sections())
    alive(deployment, external=foreign)
    assert _channels(deployment)["mine"] == (None, 0)


def test_status__names_the_kinds_from_the_first_beat_on(server: Server, deploy: Deploy) -> None:
    """A beat says all of a process, and the next such one comes many seconds later."""
    world = world_of(deploy(server, **channel_sections()))

    async def scenario() -> None:
        async with world.working():
            assert json.loads(world.publisher.about[EXTERNAL]) == {"mine": [MINE, 0]}

    asyncio.run(scenario())
