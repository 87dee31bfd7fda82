"""Edges on a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from galaxy_notify.edges import AsyncEdgeTrigger, EdgeTrigger
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.servers import each_server

pytestmark = pytest.mark.extended

SHARDS = 6
KEYS = [f"load:{number}" for number in range(24)]


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__edges_fire_once_on_all_its_nodes(cluster: Cluster) -> None:
    """Keys of every shard, by 16 callers each, before and behind a slot that moves."""
    cluster.wait_until_well()
    cluster.flush()
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    space = deployment.key_space
    assert {space.keys_of_user(key).shard for key in KEYS} == set(range(SHARDS))

    async def fired(trigger: AsyncEdgeTrigger, key: str, value: float) -> int:
        calls = (trigger.fires(key, value, at=8, clear=5) for _ in range(16))
        return sum(await asyncio.gather(*calls))

    async def scenario() -> None:
        async with AsyncEdgeTrigger.from_url(cluster.url, cluster=True) as trigger:
            for key in KEYS:
                assert await fired(trigger, key, 9) == 1
            moved = space.keys_of_user(KEYS[0]).edge(KEYS[0])
            target = cluster.other_primary(cluster.owner(moved))
            await asyncio.to_thread(cluster.move_slot, moved, target)
            assert await fired(trigger, KEYS[0], 9) == 0
            assert await fired(trigger, KEYS[0], 3) == 0
            assert await fired(trigger, KEYS[0], 9) == 1

    asyncio.run(scenario())
    with EdgeTrigger.from_url(cluster.url, cluster=True) as trigger:
        assert not any(trigger.fires(key, 9, at=8, clear=5) for key in KEYS)
        assert not any(trigger.fires(key, 3, at=8, clear=5) for key in KEYS)
        assert all(trigger.fires(key, 9, at=8, clear=5) for key in KEYS)
    deployment.close()
