"""Gateways and users on a Redis Cluster, as operators see them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from galaxy_notify.realtime.attendance import Attendance
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_state.inbox import Inbox, Logout
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.tickets import Grant, Tickets
from tests.support.clusters import Cluster, clustered
from tests.support.command import CommandLine
from tests.support.deployment import DeploymentFixture
from tests.support.recent import attend, deliver
from tests.support.registered_gateways import gateway_alive
from tests.support.servers import each_server

pytestmark = pytest.mark.extended

SHARDS = 6


@pytest.fixture(scope="module", params=each_server())
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Run three primaries with a replica each, on each flavour of server."""
    with clustered(request.param) as made:
        yield made


def test_cluster__gateways_and_users_lie_on_all_nodes(cluster: Cluster) -> None:
    """Inboxes have slots of their own, users those of their shards: all are read and repaired."""
    command = CommandLine(cluster.url, {"REDIS__CLUSTER": "true", "WORKER__SHARDS": str(SHARDS)})
    cluster.wait_until_well()
    made = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    with closing(made) as deployment:
        gateways, users = [f"gw-{n}" for n in range(12)], [f"u{n}" for n in range(24)]
        for name in gateways:
            gateway_alive(deployment, name)
            deployment.client.xadd(inbox_key("gn", name), {"tellings": "x"})
        for user in users:
            deliver(deployment, user, 1)
        attend(deployment, "gw-1", *users)
        told = command.told("status")["gateways"]
        assert sorted(one["id"] for one in told) == sorted(gateways)
        assert {one["lag"] for one in told} == {1}
        found = command.run("presence", "ls", "--json").stdout.splitlines()
        assert sorted(json.loads(line)["user"] for line in found) == sorted(users)
        for user in users:
            shown = command.told("users", "show", user)
            assert (shown["presence"]["online"], shown["recent"]["length"]) == (True, 1)
        assert command.told("fsck")["looked_at"]["user_keys"] == len(gateways) + 2 * len(users)
        spoilt = [inbox_key("gn", name) for name in gateways]
        spoilt += [deployment.key_space.keys_of_user(user).recent(user) for user in users]
        for key in spoilt:
            deployment.client.persist(key)
        told = command.told("fsck", "--fix")
        assert sorted(one["subject"] for one in told["findings"]) == sorted(spoilt)
        assert command.run("fsck").exit_code == 0


def test_cluster__tickets_and_logouts_lie_with_their_users(cluster: Cluster) -> None:
    """On whatever node: each ticket is redeemed once, and a logout is read and told everywhere."""
    command = CommandLine(cluster.url, {"REDIS__CLUSTER": "true", "WORKER__SHARDS": str(SHARDS)})
    cluster.wait_until_well()
    cluster.flush()
    made = DeploymentFixture(cluster.url, redis__cluster=True, worker__shards=SHARDS)
    users = [f"u{n}" for n in range(24)]

    async def scenario(deployment: DeploymentFixture) -> None:
        client = open_async(deployment.settings, connections=8, name="test")
        key_space = deployment.key_space
        tickets = Tickets(client, key_space)
        issued = [await tickets.issue(Grant(user, 1.0, 2e9)) for user in users]
        for user, ticket in zip(users, issued, strict=True):
            assert await tickets.redeem(ticket) == Grant(user, 1.0, 2e9)
            assert await tickets.redeem(ticket) is None
        inbox = Inbox(client, "gn", "gw-1")
        await inbox.renew()
        attendance = Attendance(client, key_space, "gw-1", 60_000, 100)
        assert {one.logout_ms for one in (await attendance.attend(users)).values()} == {0}
        for user in users:
            told = await asyncio.to_thread(command.told, "users", "logout", user)
            assert told == {"user": user, "instances": 1, "informed": 1}
        attended = await attendance.attend(users)
        assert all(attended[user].logout_ms > 0 for user in users)
        entries = (await inbox.read(50, 256)).entries
        assert entries == [Logout(user, attended[user].logout_ms) for user in users]
        await client.aclose()

    with closing(made) as deployment:
        asyncio.run(scenario(deployment))
