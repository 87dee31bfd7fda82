"""Row E2: something was sent, and Redis does not take its outcome."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewSendRun
from tests.faults.support.chaos import Stopwatch
from tests.faults.support.faulty_proxy import faulty
from tests.faults.support.outages import frozen, killed
from tests.faults.support.send_run import HOOKS, SendRun
from tests.support.receiver_process import Behaviour
from tests.support.refusing import misconfigured, out_of_memory
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

#: The lease outlives every outage here.
_LONG = {"timeout_ms": 120_000, "lease_ttl_ms": 600_000}
_ROUTES = 5
AWAY = {"frozen": frozen, "killed": killed}


def _sending(send_run: NewSendRun) -> tuple[SendRun, list[str]]:
    """Have routes be sent, and the receiver not have answered."""
    one = send_run({HOOKS: _LONG}, worker__serves=[HOOKS])
    one.people(1)
    one.receiver.behave(Behaviour(is_shut=True))
    members = [one.notify("u0")[0] for _ in range(_ROUTES)]
    one.daemon()
    one.receiver.wait_for(_ROUTES)
    return one, members


def _assert_sent_once(one: SendRun, members: list[str]) -> None:
    one.wait_until_over()
    for member in members:
        route = one.deployment.route(member)
        assert (route.status, route.attempts) == (Status.DELIVERED, 0)
    assert one.receiver.count() == _ROUTES
    assert one.daemons[0].process.poll() is None
    one.assert_sent()


def test_rowe2__out_of_memory(send_run: NewSendRun) -> None:
    """What was delivered is recorded all the same: its first command removes something."""
    one, members = _sending(send_run)
    with out_of_memory(one.server):
        one.receiver.behave(Behaviour())
        delivered = {member: Status.DELIVERED for member in members}
        wait_until(lambda: {m: one.status(m) for m in members} == delivered, "all are recorded")
    _assert_sent_once(one, members)


def test_rowe2__misconfigured(send_run: NewSendRun) -> None:
    """Outcomes are kept until the server takes writes again; nothing is sent again."""
    one, members = _sending(send_run)
    with misconfigured(one.server):
        one.receiver.behave(Behaviour())
        one.daemons[0].wait_for("redis unavailable")
        assert {one.status(member) for member in members} == {Status.PENDING}
    _assert_sent_once(one, members)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [20, 60])
@pytest.mark.parametrize("how", AWAY)
def test_rowe2__away(send_run: NewSendRun, how: str, seconds: int) -> None:
    """For as long as that; the lease lives, so nothing is sent again, and no attempt is spent."""
    one, members = _sending(send_run)
    with faulty(one.server.socket, one.rng) as proxy, AWAY[how](one, proxy):
        one.receiver.behave(Behaviour())
        one.daemons[0].wait_for("redis unavailable")
        Stopwatch(seconds).wait()
    _assert_sent_once(one, members)


@pytest.mark.slow
def test_rowe2__leases_expire_meanwhile(send_run: NewSendRun) -> None:
    """The same process comes upon its routes again, and knows what became of them."""
    one = send_run({HOOKS: {"timeout_ms": 5000, "lease_ttl_ms": 10_000}}, worker__serves=[HOOKS])
    one.people(1)
    one.receiver.behave(Behaviour(is_shut=True))
    members = [one.notify("u0")[0] for _ in range(_ROUTES)]
    one.daemon()
    one.receiver.wait_for(_ROUTES)
    with faulty(one.server.socket, one.rng) as proxy, killed(one, proxy):
        one.receiver.behave(Behaviour())
        one.daemons[0].wait_for("redis unavailable")
        Stopwatch(12).wait()
    _assert_sent_once(one, members)
