"""What was claimed and cannot be settled in time: given back, and held against no route."""

from __future__ import annotations

import time
from typing import Any

import pytest

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.telemetry import Telemetry
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.proxy import proxied
from tests.support.roads import both_roads, leased_road
from tests.support.servers import Server
from tests.support.wait import wait_until
from tests.support.worker import WorkerHarness


@pytest.mark.usefixtures("usual_timeout")
@both_roads
def test_slow_link__gets_smaller_batches(any_server: Server, deploy: Deploy) -> None:
    """A claim too large to arrive in time is asked again for less, until something gets through."""
    deployment = deploy(any_server, worker__batch_size=4)
    deployment.load_scripts()
    for number in range(4):
        deployment.notify(f"u{number}", body="x" * 200_000)
    with proxied(any_server.socket) as proxy:
        proxy.longest_reply = 500_000
        with deployment.worker_harness(url=proxy.url).running():
            wait_until(lambda: not deployment.due(), "all are published")
    assert deployment.totals() == {"accepted": 4, "published": 4}


@leased_road
def test_route__is_not_buried_for_what_redis_refused(any_server: Server, deploy: Deploy) -> None:
    """However often its settle is refused, a route is not taken for one that kills workers."""
    deployment = deploy(any_server, worker__max_abandoned=3)
    user: Any = deployment.client
    user.execute_command("ACL", "SETUSER", "worker", "on", ">word", "~*", "&*", "+@all", "-zrem")
    harness = deployment.worker_harness(redis__username="worker", redis__password="word")
    deployment.notify("innocent")
    for _ in range(5):
        with pytest.raises(RedisFault, match="NOPERM"):
            harness.step()
        deployment.move_leases(deployment.now() - 1)
    user.execute_command("ACL", "SETUSER", "worker", "+zrem")
    assert harness.step() == 1
    user.execute_command("ACL", "DELUSER", "worker")
    assert deployment.statuses() == {"innocent": "published"}
    assert deployment.total("abandoned") == 0


@leased_road
def test_lease__as_short_as_a_round_trip_still_publishes(
    any_server: Server, deploy: Deploy
) -> None:
    """One route of a batch is published however late its claim was heard."""
    deployment = deploy(any_server, worker__lease_ttl_ms=1000)
    deployment.load_scripts()
    deployment.notify("u1", "u2")
    with proxied(any_server.socket) as proxy:
        harness = deployment.worker_harness(url=proxy.url)
        proxy.delay_reply("route_claim", 0.9)
        assert harness.step() == 1
        assert harness.step() == 1
    assert deployment.leases() == {}


def test_slow_encoder__is_progress(any_server: Server, deploy: Deploy) -> None:
    """While a long batch is encoded the loop is seen to live, so no watchdog takes it for stuck."""

    class Beats(Telemetry):
        def progressed(self, shard: int) -> None:
            beats.append(len(encoded))

    def slow(notification: Notification, _: Route) -> bytes:
        time.sleep(0.06)
        encoded.append(notification.notification_id)
        return notification.packed

    beats: list[int] = []
    encoded: list[str] = []
    deployment = deploy(any_server)
    deployment.notify("u1", "u2", "u3", "u4")
    harness = WorkerHarness(deployment.settings, slow, telemetry=Beats())
    deployment.harnesses.append(harness)
    assert harness.step() == 4
    assert {1, 2, 3} <= set(beats)


def test_wake_up__taken_by_a_worker_that_leaves_wakes_another(
    any_server: Server, deploy: Deploy
) -> None:
    """A route accepted while a worker ends does not wait until the others look by themselves."""
    deployment = deploy(any_server, worker__poll_interval_ms=3_600_000)
    leaves, stays = deployment.worker_harness(), deployment.worker_harness()
    with leaves.running():
        wait_until(lambda: _listening(deployment) == 1, "the first listens")
        with stays.running():
            wait_until(lambda: _listening(deployment) == 2, "the second listens")
            leaves._runner.get_loop().call_soon_threadsafe(leaves.stop)
            deployment.notify("u1")
            wait_until(lambda: not deployment.due(), "it is published")


def _listening(deployment: DeploymentFixture) -> int:
    clients: Any = deployment.client.client_list()
    return sum(client["cmd"] == "blpop" and "b" in client["flags"] for client in clients)
