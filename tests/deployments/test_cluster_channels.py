"""External channels on a Redis Cluster: routes, contacts and rate lie on other nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.delivery import Delivery
from tests.support.channel_world import DELIVERED, channel_sections, world_of
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.servers import each_server
from tests.support.wait import until

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


def test_cluster__a_replica_takes_over_while_sends_are_under_way(cluster: Cluster) -> None:
    """Their outcomes are recorded by the new primary, and all that waits is sent; none is lost."""
    cluster.wait_until_well()
    cluster.flush()
    sections = channel_sections(shards=SHARDS, lease_ttl_ms=4000, timeout_ms=2000)
    sections["redis"] = {"durability": "replicas:1"}
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, **sections)
    world = world_of(deployment)

    async def scenario() -> None:
        gate = asyncio.Event()

        async def answer(_: Delivery) -> Attempt:
            await gate.wait()
            return DELIVERED

        world.kind.answer = answer
        made = [member for n in range(12 * SHARDS) for member in world.notify(f"u{n}")]
        key = deployment.key_space.keys_for(made[0]).schedule("mine")
        async with world.working():
            await until(lambda: world.kind.sent, "sends are under way")
            primary = cluster.owner(key)
            # Not killed: one that writes down the nodes at that moment does not start again.
            primary.pause()
            gate.set()
            await asyncio.to_thread(cluster.taken_over, key, primary)
            primary.resume()
            await asyncio.to_thread(cluster.wait_until_well)
            for member in made:
                await world.until_status(member, "delivered")
        # What came again came with the same id.
        assert {one.event_id for one in world.kind.sent} == set(made)

    asyncio.run(scenario())
    deployment.close()
