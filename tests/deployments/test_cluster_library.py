"""Streams and presence of an application on a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.realtime import Presence, Streams
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.events import event_fields
from tests.support.servers import each_server
from tests.support.wait import HANG_S, until

pytestmark = pytest.mark.extended

SHARDS = 6
USERS = [f"u{number}" for number in range(12)]


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__serves_an_application_on_all_its_nodes(cluster: Cluster) -> None:
    """Users of every shard are seen, pushed to and given events, also behind a slot that moves."""
    cluster.wait_until_well()
    cluster.flush()
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    options: dict[str, Any] = {"cluster": True, "presence_ttl_ms": 3000}

    def publish(number: int) -> None:
        keys = deployment.key_space.keys(number % SHARDS)
        fields = event_fields(number, USERS[number % len(USERS)])
        deployment.client.xadd(keys.stream, fields)

    async def scenario() -> None:
        async with (
            Streams.from_url(cluster.url, **options) as streams,
            Presence.from_url(cluster.url, instance="chat-1", **options) as presence,
        ):
            await asyncio.gather(*(presence.register(user) for user in USERS))
            assert {user async for user in presence.online_users()} == set(USERS)
            async with streams.open(USERS[0], within_s=HANG_S) as stream:
                assert set(await presence.locate(USERS[0])) == {"chat-1", streams.instance}
                assert await streams.push_multi(USERS, "typing", {}) == 1
                assert (await anext(stream)).kind == "message"
                publish(len(USERS))
                assert (await anext(stream)).kind == "notification"
                key = deployment.key_space.keys_of_user(USERS[0]).presence(USERS[0])
                target = cluster.other_primary(cluster.owner(key))
                await asyncio.to_thread(cluster.move_slot, key, target)
                publish(2 * len(USERS))
                while (event := await anext(stream)).kind != "notification":
                    pass
                assert event.payload["offset"] == 2

                async def all_are_there() -> bool:
                    return {user async for user in presence.online_users()} == set(USERS)

                await until(all_are_there, "all are still there")

    asyncio.run(scenario())
    deployment.close()
