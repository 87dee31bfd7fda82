"""Rows E1 and E3: daemons die or freeze while they send."""

from __future__ import annotations

import signal

import pytest

from galaxy_notify.model.route import Status
from tests.faults.conftest import NewSendRun
from tests.faults.support.send_run import HOOKS, SendRun
from tests.support.receiver_process import Behaviour
from tests.support.wait import wait_until

pytestmark = pytest.mark.extended

_ONCE, _REPEATED = "at_most_once", "at_least_once"
#: Where the process dies → how many requests have come by then.
POINTS = {"after_claim": 0, "before_send": 0, "after_send": 1, "before_end": 1}
#: One after the other, and no lease lapses by itself.
_ALONE = {"concurrency": 1, "timeout_ms": 60_000, "lease_ttl_ms": 600_000}


def _made(send_run: NewSendRun, delivery: str) -> tuple[SendRun, list[str]]:
    """Found a deployment in which three routes wait."""
    one = send_run({HOOKS: {**_ALONE, "delivery": delivery}}, worker__serves=[HOOKS])
    one.people(1)
    return one, [one.notify("u0")[0] for _ in range(3)]


def _expire_leases(one: SendRun) -> None:
    """Have all leases expire, as if their time had passed."""
    one.deployment.move_leases(one.deployment.now() - 1, HOOKS)


def _ends(one: SendRun, members: list[str]) -> list[tuple[Status, str, int]]:
    """Return the status of each route, the class of its failure, and how often it came."""
    found = []
    for member in members:
        route = one.deployment.route(member)
        failure = route.failure.failure_class if route.failure else ""
        found.append((route.status, failure, len(one.requests_of(member))))
    return sorted(found)


@pytest.mark.parametrize("delivery", [_REPEATED, _ONCE])
@pytest.mark.parametrize("point", POINTS)
def test_rowe1__killed_before_its_outcome_is_recorded(
    send_run: NewSendRun, point: str, delivery: str
) -> None:
    """The route in flight comes again under its id, or is unknown; the others come once."""
    one, members = _made(send_run, delivery)
    daemon = one.daemon(f"{point}:kill")
    assert daemon.ended() == -signal.SIGKILL
    came = POINTS[point]
    assert one.receiver.count() == came
    _expire_leases(one)
    one.start_again(daemon)
    one.wait_until_over()
    others = [(Status.DELIVERED, "", 1)] * 2
    first = (Status.DELIVERED, "", came + 1)
    if delivery == _ONCE:
        first = (Status.DEAD_LETTER, "delivery_unknown", came)
    assert _ends(one, members) == sorted([first, *others])


@pytest.mark.parametrize("delivery", [_REPEATED, _ONCE])
def test_rowe1__killed_while_the_receiver_works(send_run: NewSendRun, delivery: str) -> None:
    """What it had received comes again under its id, or is unknown."""
    one, members = _made(send_run, delivery)
    one.receiver.behave(Behaviour(is_shut=True))
    daemon = one.daemon()
    one.receiver.wait_for(1)
    daemon.kill()
    one.receiver.behave(Behaviour())
    _expire_leases(one)
    one.start_again(daemon)
    one.wait_until_over()
    first = (Status.DELIVERED, "", 2)
    if delivery == _ONCE:
        first = (Status.DEAD_LETTER, "delivery_unknown", 1)
    assert _ends(one, members) == sorted([first, *[(Status.DELIVERED, "", 1)] * 2])


@pytest.mark.parametrize("delivery", [_REPEATED, _ONCE])
def test_rowe1__killed_after_its_outcome_is_recorded(send_run: NewSendRun, delivery: str) -> None:
    """Each comes once."""
    one, members = _made(send_run, delivery)
    daemon = one.daemon("after_end:kill")
    assert daemon.ended() == -signal.SIGKILL
    _expire_leases(one)
    one.start_again(daemon)
    one.wait_until_over()
    assert _ends(one, members) == [(Status.DELIVERED, "", 1)] * 3


@pytest.mark.parametrize("delivery", [_REPEATED, _ONCE])
def test_rowe3__outcome_of_a_lease_that_expired(send_run: NewSendRun, delivery: str) -> None:
    """A frozen daemon goes on after another took over: its outcome changes nothing."""
    one, members = _made(send_run, delivery)
    one.receiver.behave(Behaviour(is_shut=True))
    frozen = one.daemon()
    one.receiver.wait_for(1)
    frozen.signal(signal.SIGSTOP)
    one.receiver.behave(Behaviour())
    _expire_leases(one)
    other = one.daemon()
    one.wait_until_over()
    ends = _ends(one, members)
    other.kill()
    totals = one.deployment.totals()
    frozen.signal(signal.SIGCONT)
    wait_until(lambda: _stale(one), "its outcome was refused")
    first = (Status.DELIVERED, "", 2)
    if delivery == _ONCE:
        first = (Status.DEAD_LETTER, "delivery_unknown", 1)
    assert ends == _ends(one, members) == sorted([first, *[(Status.DELIVERED, "", 1)] * 2])
    assert one.deployment.totals() == totals


def _stale(one: SendRun) -> int:
    """Return how many outcomes were refused, by the logs."""
    return sum(
        line.get("conflict", 0) for daemon in one.daemons for line in daemon.lines("routes ended")
    )
