"""How long what is done with is kept."""

from __future__ import annotations

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.roads import both_roads
from tests.support.servers import Server

pytestmark = both_roads


def test_notification__is_kept_after_its_last_route(any_server: Server, deploy: Deploy) -> None:
    """The last route that needed a notification gives it its end, later where it has a key."""
    deployment = deploy(any_server, retention__settled_ms=60_000, retention__idempotency_ms=90_000)
    plain = deployment.notify("u1", "u2")
    keyed = deployment.notify("u1", idempotency_key="k")
    later = deployment.notify("u1", due_at=deployment.now() + 60_000)
    deployment.notifier.cancel(plain, route="push:u1")
    assert kept(deployment, plain) == -1
    deployment.worker_harness().step()
    assert 30_000 < kept(deployment, plain) <= 60_000
    assert 60_000 < kept(deployment, keyed) <= 90_000
    assert kept(deployment, later) == -1


def test_dead_letter__is_kept_for_ever(any_server: Server, deploy: Deploy) -> None:
    """A notification with a dead letter has no end; its replay still finds everything."""

    def broken(notification: Notification, _: Route) -> bytes:
        raise ValueError(notification.type)

    deployment = deploy(any_server)
    made = deployment.notify("u1")
    deployment.worker_harness(broken).step()
    assert kept(deployment, made) == -1
    deployment.replay(member_of(made, "u1"))
    deployment.worker_harness().step()
    assert deployment.statuses() == {"u1": "published"}
    assert kept(deployment, made) > 0


def test_record__that_vanished_takes_its_event_back(any_server: Server, deploy: Deploy) -> None:
    """A notification deleted between claim and settle leaves nothing in the stream."""
    deployment = deploy(any_server)
    deployment.whole = False
    gone = deployment.notify("gone")
    deployment.notify("stays")

    def encode(notification: Notification, _: Route) -> bytes:
        deployment.client.delete(deployment.keys.notification(gone))
        return notification.packed

    deployment.worker_harness(encode).step()
    assert [entry["user_id"] for entry in deployment.entries()] == [b"stays"]
    assert deployment.orphans() == {member_of(gone, "gone"): "record_missing"}
    assert deployment.client.exists(deployment.keys.notification(gone)) == 0
    assert (deployment.due(), deployment.leases()) == ({}, {})
    assert (deployment.total("undone"), deployment.total("purged")) == (1, 1)
    deployment.assert_conserved()


def kept(deployment: DeploymentFixture, notification_id: str) -> int:
    """Return for how many ms a notification is kept, -1 for ever."""
    return int(deployment.client.pttl(deployment.keys.notification(notification_id)))
