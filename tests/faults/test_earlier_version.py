"""A version that knows no deliveries, beside one that does: row E10."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.fsck.faults import Inconsistency
from galaxy_notify.model.route import Failure, Route
from galaxy_notify.operations.fsck import Fsck
from galaxy_notify.operations.status import read_status
from galaxy_notify.redis_client.runner import run_sync
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.delivery_outcomes import (
    Deliver,
    DeliveryOutcome,
    GiveUp,
    Skip,
    read_ended,
    route_end,
)
from galaxy_notify.redis_state.settlement import RetryLater
from tests.support.daemons import daemon_on
from tests.support.deployment import DeploymentFixture, member_of
from tests.support.earlier_version import BEFORE_DELIVERIES, code_of
from tests.support.program import program
from tests.support.servers import Server
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

_WORKER = "host-9-new"
_FAILURE = Failure("delivery_failed", "no answer")
_DONE = ("c-1",)
#: What becomes of the users' routes before the earlier version comes.
_ENDS = ("delivered", "skipped", "partly", "abandoned", "dead")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("earlier")
    yield code_of(BEFORE_DELIVERIES, folder)
    shutil.rmtree(folder)


@pytest.fixture
def deployment(any_server: Server) -> Iterator[DeploymentFixture]:
    made = DeploymentFixture(any_server.url, worker__publish="leased")
    yield made
    made.close()


def _outcome(end: str, member: bytes, route: Route) -> DeliveryOutcome:
    if end == "delivered":
        return Deliver(member, route.delivered(_WORKER), 3_600_000)
    if end == "skipped":
        return Skip(member, route.skipped(_WORKER, "no_contact"), 3_600_000, "no_contact")
    if end == "dead":
        state = route.dead_lettered(_WORKER, _FAILURE, attempt=True, done=_DONE)
        return GiveUp(member, state, _FAILURE.failure_class)
    return RetryLater(member, route.failed(_WORKER, _FAILURE, _DONE), 0)


def _claim(deployment: DeploymentFixture, number: int) -> leases.Claim:
    token = f"{_WORKER}:{number}:30000:1"
    limits = leases.ClaimLimits(256, 30_000, 4 << 20, 300_000, 0)
    call = leases.route_claim(deployment.keys, "push", token, limits, alone=False, now=None)
    return leases.read_claim(run_sync(deployment.client, call), token)


def _deliver(deployment: DeploymentFixture) -> dict[str, str]:
    """Have a worker of this version do what it does; return the member of each end."""
    members = {end: member_of(deployment.notify(end), end) for end in _ENDS}
    claim = _claim(deployment, 1)
    outcomes = [_outcome(end, m.encode(), deployment.route(m)) for end, m in members.items()]
    reply = run_sync(
        deployment.client, route_end(deployment.keys, "push", claim.token, outcomes, None)
    )
    answers = [answer.word for answer in read_ended(reply, len(outcomes)).answers]
    assert answers == ["delivered", "skipped", "retried", "retried", "buried"]
    # One of those that are due again is left behind by a worker that dies.
    held = wait_until(lambda: _claim(deployment, 2).members, "they are due again")
    assert {claimed.member.decode() for claimed in held} == {
        members["partly"],
        members["abandoned"],
    }
    released = RetryLater(
        members["partly"].encode(), deployment.route(members["partly"]).failed(_WORKER, _FAILURE), 0
    )
    token = f"{_WORKER}:2:30000:1"
    run_sync(deployment.client, route_end(deployment.keys, "push", token, [released], None))
    deployment.move_leases(deployment.now() - 1000)
    return members


def _told(server: Server, earlier: dict[str, str], *arguments: str, code: int = 0) -> str:
    done = program(server, *arguments, **earlier)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def _states(deployment: DeploymentFixture, members: dict[str, str]) -> dict[str, bytes | None]:
    return {end: deployment.state(member) for end, member in members.items()}


def _found(deployment: DeploymentFixture) -> list[Inconsistency]:
    return list(Fsck(deployment.connected, "me").run())


def test_rowe10__earlier_version_beside_deliveries(
    deployment: DeploymentFixture, any_server: Server, earlier: dict[str, str]
) -> None:
    """Nothing that was delivered, or partly, is buried, repeated or counted away."""
    assert "--may-repeat" not in _told(any_server, earlier, "dead", "replay", "--help")
    members = _deliver(deployment)
    before = _states(deployment, members)
    assert [state and state[:2] for state in before.values()] == [
        *(b"2D", b"1s", b"2f", b"2f", b"2d")
    ]
    plain = [deployment.notify("u1", "u2"), deployment.notify("u3")]
    with daemon_on(any_server, variables=earlier, worker__lease_ttl_ms=1000) as daemon:
        wait_until(
            lambda: (
                {line["member"] for line in daemon.lines("route released")}
                >= {members["partly"], members["abandoned"]}
            ),
            "it has met both that are due",
        )
        wait_until(lambda: len(deployment.entries()) == 3, "it publishes all else")
        assert {line["reason"] for line in daemon.lines("route released")} == {"newer format"}
        assert not daemon.lines("route dead-lettered")
    assert _states(deployment, members) == before
    _assert_even(json.loads(_told(any_server, earlier, "status", "--json")), members)
    for arguments in (("fsck",), ("fsck", "--fix"), ("show", members["delivered"])):
        _told(any_server, earlier, *arguments)
    _told(any_server, earlier, "cancel", members["partly"].partition("/")[0], code=1)
    _told(any_server, earlier, "dead", "replay", members["dead"], "--yes", code=1)
    assert _states(deployment, members) == before
    assert _found(deployment) == []
    assert {
        deployment.route(member_of(name, user)).status
        for name, user in ((plain[0], "u1"), (plain[0], "u2"), (plain[1], "u3"))
    } == {"published"}
    status = read_status(deployment.connected)
    assert (status.totals["delivered"], status.totals["published"]) == (1, 3)
    _assert_even(status.as_json(), members)


def _assert_even(told: dict[str, Any], members: dict[str, str]) -> None:
    """Assert that accepted is what is scheduled, dead or ended, by either version's counts."""
    totals, push = told["totals"], told["channels"]["push"]
    ends = ("published", "delivered", "cancelled", "expired", "skipped", "purged")
    assert totals["accepted"] == 3 + len(members)
    assert totals["accepted"] == push["scheduled"] + push["dead"] + sum(
        totals.get(end, 0) for end in ends
    )


def test_rowe10__this_version_goes_on_where_it_left_off(
    deployment: DeploymentFixture, any_server: Server, earlier: dict[str, str]
) -> None:
    """What the earlier version released keeps its attempts, its addresses and its count."""
    members = _deliver(deployment)
    with daemon_on(any_server, variables=earlier, worker__lease_ttl_ms=1000) as daemon:
        wait_until(
            lambda: (
                {line["member"] for line in daemon.lines("route released")}
                >= {members["partly"], members["abandoned"]}
            ),
            "it has met both",
        )
    due = dict.fromkeys((members["partly"], members["abandoned"]), 1)
    deployment.client.zadd(deployment.keys.schedule("push"), due)
    claim = _claim(deployment, 3)
    routes = {claimed.member.decode(): claimed for claimed in claim.members}
    assert routes.keys() == {members["partly"], members["abandoned"]}
    assert {deployment.route(member).done for member in routes} == {_DONE}
    outcomes = [Deliver(m.encode(), deployment.route(m).delivered(_WORKER), 1000) for m in routes]
    run_sync(deployment.client, route_end(deployment.keys, "push", claim.token, outcomes, None))
    deployment.assert_sound()
