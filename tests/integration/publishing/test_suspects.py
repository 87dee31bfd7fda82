"""Routes whose workers died again and again: taken alone, and buried before they kill once more."""

from __future__ import annotations

from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Route, Status
from tests.support.deployment import Deploy, DeploymentFixture, member_of
from tests.support.servers import Server
from tests.support.worker import packed


def test_suspect__is_taken_alone(any_server: Server, deploy: Deploy) -> None:
    """A route abandoned twice is encoded with nothing else in flight, after its neighbours."""
    deployment = deploy(any_server, worker__batch_size=50)
    deployment.notify("suspect")
    for _ in range(2):
        assert deployment.claim("push", 0)
        lapse(deployment)
    deployment.notify(*(f"u{n}" for n in range(20)))
    batches: list[set[str]] = []

    def watch(notification: Notification, _: Route) -> bytes:
        ours = [member for member, lease in deployment.leases().items() if "host-2" in lease]
        batches.append({member.rpartition(":")[2] for member in ours})
        return notification.packed

    harness = deployment.worker_harness(watch)
    assert harness.step() == 21
    assert batches[:-1] == [{f"u{n}" for n in range(20)}] * 20
    assert batches[-1] == {"suspect"}
    assert deployment.total("abandoned") == 2


def test_suspect__is_buried_before_anything_of_it_is_decoded(
    any_server: Server, deploy: Deploy
) -> None:
    """A route that max_abandoned workers left behind is dead, with its class, and never encoded."""
    deployment = deploy(any_server, worker__max_abandoned=3)
    member = member_of(deployment.notify("poison"), "poison")
    for abandoned in range(3):
        assert deployment.route(member).status is Status.PENDING
        claimed = deployment.claim("push", 0) or deployment.claim_alone()
        assert claimed.members[0].abandoned == abandoned
        lapse(deployment)

    def never(_: Notification, __: Route) -> bytes:
        raise AssertionError("it was encoded")

    assert deployment.worker_harness(never).step() == 1
    route = deployment.route(member)
    assert (route.status, route.attempts) == (Status.DEAD_LETTER, 0)
    assert route.failure is not None
    assert route.failure.failure_class == "lease_abandoned"
    assert "3 times" in route.failure.message
    deployment.replay(member)
    assert deployment.worker_harness(packed).step() == 1


def lapse(deployment: DeploymentFixture) -> None:
    """Let all leases lapse, as time would."""
    deployment.move_leases(deployment.now() - 1)
