"""External channels on a Redis Cluster: routes, contacts and rate lie on other nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.channel_world import channel_sections, world_of
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.servers import each_server

pytestmark = pytest.mark.extended

SHARDS = 6


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__sends_from_every_shard_also_behind_a_moved_slot(cluster: Cluster) -> None:
    """Each route of every shard is sent once, also from a shard that moves to another node."""
    cluster.wait_until_well()
    cluster.flush()
    sections = channel_sections(shards=SHARDS, rate="1000/s")
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, **sections)
    world = world_of(deployment)
    numbers = count()

    async def send_some() -> list[str]:
        made = [world.notify(f"u{next(numbers)}")[0] for _ in range(4 * SHARDS)]
        for member in made:
            await world.until_status(member, "delivered")
        return made

    async def scenario() -> None:
        async with world.working():
            await send_some()
            key = deployment.key_space.keys(1).schedule("mine")
            target = cluster.other_primary(cluster.owner(key))
            await asyncio.to_thread(cluster.move_slot, key, target)
            await send_some()
        assert set(Counter(world.kind.users).values()) == {1}

    asyncio.run(scenario())
    deployment.close()
