"""What becomes of a claimed member that is not worked, on a channel that may send once at most."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Failure, Route, Status, decode_route, initial_state
from galaxy_notify.redis_state.claimed import NEWER_FORMAT, NEWER_FORMAT_DELAY_MS, ClaimJudge
from galaxy_notify.redis_state.leases import Claim, ClaimedMember
from galaxy_notify.redis_state.settlement import Bury, Drop, Release

NOW = 1_900_000_000_000
ID = "0" * 31 + "1"
MEMBER = f"{ID}/webhook:u1".encode()
PENDING = initial_state(None, NOW)
PARTLY = Route(Status.FAILED, NOW, NOW, attempts=1).failed("w", Failure("x", "y"), ["c-1"])


def _judge(*, once: bool, record: bytes = b"1") -> ClaimJudge:
    claim = Claim("claimed", "w:0:1:1", NOW, records={ID.encode(): record})
    return ClaimJudge(claim, "w", 5, 1000, at_most_once=once)


@pytest.mark.parametrize(
    ("once", "abandoned", "failure"),
    [
        (True, 1, "delivery_unknown"),
        (True, 2, "delivery_unknown"),
        (False, 5, "lease_abandoned"),
    ],
)
@pytest.mark.parametrize("state", [PENDING, PARTLY])
def test_abandoned__is_buried(once: bool, abandoned: int, failure: str, state: bytes) -> None:
    """Left behind once, it may have been sent: it keeps its addresses, and spends no attempt."""
    claimed = ClaimedMember(MEMBER, state, "", abandoned)
    judge = _judge(once=once)
    assert judge.is_abandoned(claimed)
    ruling = judge.irregular(claimed)
    assert isinstance(ruling.outcome, Bury)
    before, route = decode_route(state), decode_route(ruling.outcome.state)
    assert route.failure
    assert route.failure.failure_class == failure
    assert (route.attempts, route.done) == (before.attempts, before.done)


@pytest.mark.parametrize(("once", "abandoned"), [(True, 0), (False, 4)])
def test_abandoned__seldom_enough_is_worked(once: bool, abandoned: int) -> None:
    """Of at least once, it is sent again, as often as may be."""
    assert not _judge(once=once).is_abandoned(ClaimedMember(MEMBER, PENDING, "", abandoned))


@pytest.mark.parametrize(
    ("state", "record"), [(b"3p" + PENDING[2:], b"1"), (PENDING, b"2"), (PARTLY, b"2")]
)
def test_newer__is_released_however_often_it_was_abandoned(state: bytes, record: bytes) -> None:
    """Another version knows what it is; nothing of it is buried here."""
    ruling = _judge(once=True, record=record).irregular(ClaimedMember(MEMBER, state, "", 9))
    assert ruling.outcome == Release(MEMBER, NEWER_FORMAT_DELAY_MS)
    assert ruling.detail == NEWER_FORMAT


def test_delivered__that_is_still_scheduled_is_dropped() -> None:
    """A route that has ended leaves the schedule, and is not sent again."""
    state = decode_route(PENDING).delivered("w")
    ruling = _judge(once=False).irregular(ClaimedMember(MEMBER, state))
    assert ruling.outcome == Drop(MEMBER, "final")
