"""A writer of the feed on a Redis Cluster: backlogs and marks on all nodes, a slot that moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from tests.support.clusters import Cluster, clustered
from tests.support.deployment import DeploymentFixture
from tests.support.events import unfinished
from tests.support.feeds import drift, feed_on, migrate, publish, rows, rows_of
from tests.support.postgres import Postgres
from tests.support.servers import each_server
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

SHARDS = 4


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__every_event_is_a_row(cluster: Cluster, postgres: Postgres) -> None:
    """Events of all shards move aside on their nodes, and are rows once Postgres is back."""
    migrate(postgres)
    cluster.wait_until_well()
    made = DeploymentFixture(
        cluster.url, redis__cluster=True, worker__shards=SHARDS, gateway__max_len=100
    )
    writer = feed_on(cluster.nodes[0], postgres, url=cluster.url, redis__cluster=True)
    with closing(made) as deployment, writer as feed:
        all_keys, numbers = deployment.key_space.all_keys, range(1200)
        feed.wait_for("feed writing")
        postgres.stop()
        for keys in all_keys:
            node = at_shard(deployment.client, keys.tag)
            publish(node, numbers[keys.shard :: SHARDS], keys=keys)
        wait_until(
            lambda: all(deployment.client.xlen(keys.feed_backlog) > 200 for keys in all_keys),
            "they move aside",
        )
        keys = deployment.keys
        cluster.move_slot(keys.tag, cluster.other_primary(cluster.owner(keys.tag)))
        postgres.start()
        wait_until(lambda: len(rows(postgres)) == 1200, "all are rows")
        wait_until(
            lambda: sum(unfinished(deployment.client, FEED_GROUP, keys) for keys in all_keys) == 0,
            "all are acknowledged",
        )
        wait_until(
            lambda: not any(deployment.client.xlen(keys.feed_backlog) for keys in all_keys),
            "the backlogs are empty",
        )
        feed.end()
    assert rows(postgres) == rows_of(numbers)
    assert drift(postgres) == []
