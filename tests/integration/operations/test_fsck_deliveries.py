"""``fsck`` and routes of external channels: sound in their places, and put there else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from galaxy_notify.model.route import Status
from tests.support.delivered_routes import DONE, Outcome, dead, delivered, ended, partly, skipped
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.fsck import fsck
from tests.support.servers import Server


def test_fsck__finds_nothing_wrong_with_deliveries(any_server: Server, deploy: Deploy) -> None:
    """Every end of a route of an external channel is sound, and so are the totals."""
    deployment = deploy(any_server)
    for outcome in (delivered, skipped, partly, dead):
        ended(deployment, outcome)
    assert fsck(deployment) == []
    deployment.assert_sound()


def _schedule(deployment: DeploymentFixture, member: str) -> None:
    deployment.client.zadd(deployment.keys.schedule("push"), {member: 1})


def _unschedule(deployment: DeploymentFixture, member: str) -> None:
    deployment.client.zrem(deployment.keys.schedule("push"), member)


def _unlist(deployment: DeploymentFixture, member: str) -> None:
    deployment.client.zrem(deployment.keys.dead("push"), member)


def _miscount(deployment: DeploymentFixture, member: str) -> None:
    deployment.client.hincrby(deployment.record(member)[0], "open", 3)


@pytest.mark.parametrize(
    ("outcome", "spoil", "code"),
    [
        (delivered, _schedule, "already-ended"),
        (partly, _unschedule, "not-scheduled"),
        (partly, _schedule, "early"),
        (partly, _miscount, "miscounted"),
        (dead, _unlist, "not-listed"),
        (dead, _miscount, "miscounted"),
        (delivered, _miscount, "miscounted"),
    ],
)
def test_fsck__puts_deliveries_right(
    outcome: Outcome,
    spoil: Callable[[DeploymentFixture, str], None],
    code: str,
    any_server: Server,
    deploy: Deploy,
) -> None:
    """A repair changes places and counts; status, attempts and addresses stay."""
    deployment = deploy(any_server)
    member = ended(deployment, outcome)
    before = deployment.state(member)
    spoil(deployment, member)
    found = fsck(deployment)
    assert code in {fault.code for fault in found}
    assert {fault.became for fault in fsck(deployment, fix=True)} == {"mended"}
    assert fsck(deployment) == []
    assert deployment.state(member) == before
    deployment.assert_sound()


def test_fsck__tells_a_foreign_delivery_stream(server: Server, deploy: Deploy) -> None:
    """A key of another type in its place is named; nothing of it is removed."""
    deployment = deploy(server)
    deployment.client.set(deployment.keys.deliveries, "foreign")
    (fault,) = fsck(deployment, fix=True)
    assert (fault.code, fault.subject) == ("wrong-type", deployment.keys.deliveries)
    assert deployment.client.get(deployment.keys.deliveries) == b"foreign"


def test_replay__of_a_dead_letter_keeps_the_addresses(server: Server, deploy: Deploy) -> None:
    """Its next generation is sent only where it was not."""
    deployment = deploy(server)
    member = ended(deployment, dead)
    deployment.replay(member)
    route = deployment.route(member)
    assert (route.status, route.generation, route.attempts) == (Status.PENDING, 2, 0)
    assert route.done == DONE
    assert fsck(deployment) == []
