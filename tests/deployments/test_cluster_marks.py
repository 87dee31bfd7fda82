"""Counts of the feed on a Redis Cluster: marks and inboxes lie on all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from galaxy_notify.feed.marks import Marks
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_state.count_sweeps import CountSweeps, Swept
from galaxy_notify.redis_state.inbox import Inbox
from galaxy_notify.redis_state.recent import presence_attend
from galaxy_notify.redis_state.unread import UserCounts, marks_page
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.servers import each_server
from tests.support.wait import until

pytestmark = pytest.mark.extended

SHARDS = 6
USERS = [f"u{number}" for number in range(30)]
FIRST, SECOND = Counts(1, 1, 1, 1), Counts(2, 2, 2, 1)


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_marks__are_published_and_found_on_all_nodes(cluster: Cluster) -> None:
    """Also where a mark has moved: what was refused meanwhile is published again."""
    cluster.wait_until_well()
    cluster.flush()
    deployment = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    key_space = deployment.key_space

    async def scenario() -> None:
        client = open_async(deployment.settings, connections=8, name="test")
        marks, inbox = Marks(client, key_space), Inbox(client, "gn", "gw-1")
        await inbox.renew()
        for user in USERS:
            keys = key_space.keys_of_user(user)
            await run(client, presence_attend(keys, "gw-1", [user], 3_600_000))
        assert (await marks.publish(dict.fromkeys(USERS, FIRST))).marked == set(USERS)
        told = {one.user for one in (await inbox.read(50, 256)).entries}
        assert told == set(USERS)
        key = key_space.keys_of_user("u1").unread("u1")
        target = cluster.other_primary(cluster.owner(key))
        await asyncio.to_thread(cluster.move_slot, key, target)

        async def is_published() -> bool:
            return not (await marks.publish(dict.fromkeys(USERS, SECOND))).refused

        await until(is_published, "all marks are written")
        assert await _all_marks(marks) == [UserCounts(user, SECOND) for user in sorted(USERS)]
        sweeps = CountSweeps(client, key_space.keys(0), "w-1")
        assert await sweeps.lease()
        await sweeps.write(Swept(1, 2, 3))
        assert await sweeps.read() == Swept(1, 2, 3)
        await client.aclose()

    asyncio.run(scenario())
    deployment.close()


async def _all_marks(marks: Marks) -> list[UserCounts]:
    found, following = list[UserCounts](), "0 0"
    while following:
        page = await marks_page(marks.client, marks.key_space, following)
        found += [UserCounts(user, counts) for user, counts in page.marks.items() if counts]
        following = page.following
    return sorted(set(found))
