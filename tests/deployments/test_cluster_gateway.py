"""Gateways on a Redis Cluster: lists and inboxes lie on all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis.asyncio

from galaxy_notify.realtime.arrivals import Arrival
from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.realtime.instance import Instance
from galaxy_notify.realtime.stream import BufferLimits, Stream
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.inbox import Inbox, Telling
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.recent import presence_attend
from galaxy_notify.telemetry import Telemetry
from tests.support.clusters import Cluster, clustered
from tests.support.delivering import delivering, offsets
from tests.support.deployment import DeploymentFixture
from tests.support.events import event_fields, pending
from tests.support.servers import each_server
from tests.support.wait import until

pytestmark = pytest.mark.extended

SHARDS = 6
#: Reads of an inbox, 50 ms each, before more is published.
_READS = 100
USERS = [f"u{number}" for number in range(30)]
INSTANCES = [f"gw-{number}" for number in range(8)]


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__delivers_over_all_its_nodes(cluster: Cluster) -> None:
    """Each event is in its user's list and told to the user's instance, wherever stream, list and
    inbox lie, and after they have moved.
    """
    cluster.wait_until_well()
    cluster.flush()
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    owners = {cluster.owner(inbox_key("gn", name)).port for name in INSTANCES}
    assert len(owners) > 1
    for offset in range(1, 5):
        _publish_to_all(deployment, offset)

    async def scenario() -> None:
        client = open_async(deployment.settings, connections=8, name="test")
        inboxes = [Inbox(client, "gn", name) for name in INSTANCES]
        for place, inbox in enumerate(inboxes):
            await inbox.renew()
            for user in USERS[place::8]:
                await _attend(client, deployment, INSTANCES[place], user)
        async with delivering(deployment.settings):
            before = await _told_of_all(inboxes, deployment, 4)
            for key in (deployment.keys.stream, *(inbox_key("gn", one) for one in INSTANCES[:2])):
                target = cluster.other_primary(cluster.owner(key))
                await asyncio.to_thread(cluster.move_slot, key, target)
            _publish_to_all(deployment, before + 1)
            last = await _told_of_all(inboxes, deployment, before + 1)
            await until(lambda: _pending(deployment) == 0, "all are acknowledged")
        await client.aclose()
        for user in USERS:
            keys = deployment.key_space.keys_of_user(user)
            found = [at for at, _ in offsets(deployment.client, user, keys)]
            assert found == list(range(1, last + 1))

    asyncio.run(scenario())
    deployment.close()


async def _told_of_all(inboxes: list[Inbox], deployment: DeploymentFixture, least: int) -> int:
    """Wait until each instance was told of an event at this offset, or later, of each of its users.

    What is told may be lost where a node does not answer in time: then one event more is published
    for each user. Return the offset that each list ends with.
    """
    last, told = least, set[str]()
    while True:
        for place, inbox in enumerate(inboxes):
            with suppress(RedisFault):  # it has moved: reading it follows
                await inbox.renew()
            reads = 0
            while not told.issuperset(USERS[place::8]) and reads < _READS:
                reads += 1
                page = await inbox.read(50, 256)
                told |= {
                    one.user
                    for one in page.entries
                    if isinstance(one, Telling) and one.cursor.offset >= least
                }
        if told.issuperset(USERS):
            return last
        last += 1
        _publish_to_all(deployment, last)


def _publish_to_all(deployment: DeploymentFixture, offset: int) -> None:
    """Publish one event for each user, which is to have this offset."""
    for place, user in enumerate(USERS):
        number = len(USERS) * (offset - 1) + place
        keys = deployment.key_space.keys(number % SHARDS)
        deployment.client.xadd(keys.stream, event_fields(number, user))


async def _attend(
    client: redis.asyncio.Redis, deployment: DeploymentFixture, instance: str, user: str
) -> None:
    keys = deployment.key_space.keys_of_user(user)
    await run(client, presence_attend(keys, instance, [user], 3_600_000))


def _pending(deployment: DeploymentFixture) -> int:
    return sum(
        abs(pending(deployment.client, REALTIME_GROUP, keys))
        for keys in deployment.key_space.all_keys
    )


def test_cluster__a_shard_that_is_down_holds_up_no_other_user(cluster: Cluster) -> None:
    """While a node and its replica are away, users of other shards connect; theirs wait."""
    cluster.wait_until_well()
    cluster.flush()
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    key_space = deployment.key_space
    down = cluster.owner(key_space.keys(0).stream)
    gone = [node for node in cluster.nodes if node is down or cluster.follows(node, down)]
    name = next(one for one in INSTANCES if cluster.owner(inbox_key("gn", one)) is not down)
    streams = [Stream(user, BufferLimits(64, 1 << 18)) for user in USERS]
    there = [
        one
        for one in streams
        if cluster.owner(key_space.keys_of_user(one.user).presence(one.user)) is not down
    ]
    assert 0 < len(there) < len(streams)

    async def scenario() -> None:
        client = open_async(deployment.settings, connections=8, name="test")
        attendance = Attendance(client, key_space, name, 3000, 100)
        instance = Instance(client, attendance, 0.1, Telemetry.off())
        running = asyncio.create_task(instance.run())
        await until(lambda: deployment.client.exists(inbox_key("gn", name)), "the inbox")
        for node in gone:
            node.kill()
        for stream in streams:
            instance.arrive(Arrival(stream, None))
        await until(lambda: all(one.is_live for one in there), "the others begin")
        for node in gone:
            node.start()
        await until(lambda: all(one.is_live for one in streams), "all begin")
        instance.stop()
        await running
        await client.aclose()

    asyncio.run(scenario())
    cluster.wait_until_well()
    deployment.close()
