"""Cancel wins until the event is in the stream."""

from __future__ import annotations

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.deployment import Deploy, member_of
from tests.support.servers import Server


def test_cancel__takes_back_what_waits(any_server: Server, deploy: Deploy) -> None:
    """A cancelled notification is never published; cancelling again says the same."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")
    for _ in range(2):
        done = deployment.notifier.cancel(made)
        assert (done.cancelled, done.too_late, done.unknown) == (2, 0, False)
    assert deployment.worker_harness().step() == 0
    assert deployment.statuses() == {"u1": "cancelled", "u2": "cancelled"}
    assert (deployment.entries(), deployment.due()) == ([], {})
    assert deployment.total("cancelled") == 2


def test_cancel__takes_back_one_route(any_server: Server, deploy: Deploy) -> None:
    """Naming a route leaves the others on their way."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")
    assert deployment.notifier.cancel(made, route="push:u1").cancelled == 1
    deployment.worker_harness().step()
    assert deployment.statuses() == {"u1": "cancelled", "u2": "published"}


def test_cancel__between_claim_and_settle_wins(any_server: Server, deploy: Deploy) -> None:
    """A worker that has claimed and encoded a route publishes nothing once it is cancelled."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")

    def interfere(notification: Notification, _: Route) -> bytes:
        deployment.notifier.cancel(made, route="push:u1")
        return notification.packed

    deployment.worker_harness(interfere).step()
    assert [entry["user_id"] for entry in deployment.entries()] == [b"u2"]
    assert deployment.statuses() == {"u1": "cancelled", "u2": "published"}
    assert deployment.leases() == {}


def test_cancel__wins_over_a_failing_worker(any_server: Server, deploy: Deploy) -> None:
    """A retry or burial that comes after the cancel changes nothing."""
    deployment = deploy(any_server)
    made = deployment.notify("u1")

    def interfere(_: Notification, __: Route) -> bytes:
        deployment.notifier.cancel(made)
        raise ValueError("broken")

    deployment.worker_harness(interfere).step()
    assert deployment.route(member_of(made, "u1")).status is Status.CANCELLED
    assert deployment.dead() == {}


def test_cancel__after_the_event_is_too_late(any_server: Server, deploy: Deploy) -> None:
    """What is in the stream cannot be taken back, and the answer says so."""
    deployment = deploy(any_server)
    made = deployment.notify("u1", "u2")
    assert deployment.notifier.cancel(made, route="push:u1").cancelled == 1
    deployment.worker_harness().step()
    done = deployment.notifier.cancel(made)
    assert (done.cancelled, done.too_late) == (1, 1)
    assert deployment.total("cancelled") == 1


def test_cancel__of_the_unknown_says_so(any_server: Server, deploy: Deploy) -> None:
    """An id that nobody accepted is unknown, and nothing is left behind for it."""
    deployment = deploy(any_server)
    assert deployment.notifier.cancel("0" * 32).unknown
    assert deployment.notifier.cancel("no id").unknown
    made = deployment.notify("u1")
    assert deployment.notifier.cancel(made, route="push:u9").unknown
    assert deployment.statuses() == {"u1": "pending"}
