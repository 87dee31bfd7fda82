"""What was claimed and cannot be settled in time: given back, and held against no route."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.telemetry import Telemetry
from tests.support.proxy import proxied
from tests.support.servers import Server
from tests.support.site import Site
from tests.support.wait import wait_until
from tests.support.worker import Station

Found = Callable[..., Site]


def test_slow_link__gets_smaller_batches(any_server: Server, found: Found) -> None:
    """A claim too large to arrive in time is asked again for less, until something gets through."""
    site = found(any_server, worker__batch_size=4)
    site.load_scripts()
    for number in range(4):
        site.notify(f"u{number}", body="x" * 200_000)
    with proxied(any_server.socket) as proxy:
        proxy.longest_reply = 500_000
        with site.station(url=proxy.url).running():
            wait_until(lambda: not site.due(), "all are published")
    assert site.totals() == {"accepted": 4, "published": 4}


def test_route__is_not_buried_for_what_redis_refused(any_server: Server, found: Found) -> None:
    """However often its settle is refused, a route is not taken for one that kills workers."""
    site = found(any_server, worker__max_abandoned=3)
    user: Any = site.client
    user.execute_command("ACL", "SETUSER", "worker", "on", ">word", "~*", "&*", "+@all", "-zrem")
    station = site.station(redis__username="worker", redis__password="word")
    site.notify("innocent")
    for _ in range(5):
        with pytest.raises(RedisFault, match="NOPERM"):
            station.step()
        site.move_leases(site.now() - 1)
    user.execute_command("ACL", "SETUSER", "worker", "+zrem")
    assert station.step() == 1
    user.execute_command("ACL", "DELUSER", "worker")
    assert site.statuses() == {"innocent": "published"}
    assert site.total("abandoned") == 0


def test_lease__as_short_as_a_round_trip_still_publishes(any_server: Server, found: Found) -> None:
    """One route of a batch is published however late its claim was heard."""
    site = found(any_server, worker__lease_ttl_ms=1000)
    site.notify("u1", "u2")
    station = site.station()
    site.client.client_pause(900)
    assert station.step() == 1
    assert station.step() == 1
    assert site.leases() == {}


def test_slow_encoder__is_progress(any_server: Server, found: Found) -> None:
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
    site = found(any_server)
    site.notify("u1", "u2", "u3", "u4")
    station = Station(site.settings, slow, telemetry=Beats())
    site.stations.append(station)
    assert station.step() == 4
    assert {1, 2, 3} <= set(beats)


def test_wake_up__taken_by_a_worker_that_leaves_wakes_another(
    any_server: Server, found: Found
) -> None:
    """A route accepted while a worker ends does not wait until the others look by themselves."""
    site = found(any_server, worker__poll_interval_ms=3_600_000)
    leaves, stays = site.station(), site.station()
    with leaves.running():
        wait_until(lambda: _listening(site) == 1, "the first listens")
        with stays.running():
            wait_until(lambda: _listening(site) == 2, "the second listens")
            leaves._runner.get_loop().call_soon_threadsafe(leaves.stop)
            site.notify("u1")
            wait_until(lambda: not site.due(), "it is published")


def _listening(site: Site) -> int:
    clients: Any = site.client.client_list()
    return sum(client["cmd"] == "blpop" and "b" in client["flags"] for client in clients)
