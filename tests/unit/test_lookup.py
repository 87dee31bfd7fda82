"""Where the primary is: whom to ask, what to believe, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from redis import exceptions

from galaxy_notify.redis_client import lookup as module
from galaxy_notify.redis_client.lookup import (
    Address,
    ClusterLookup,
    Lookup,
    SentinelLookup,
    slot_of,
)

A, B, C, D = (Address("10.0.0.1", port) for port in (1, 2, 3, 4))
OLD, NEW = Address("10.0.1.1", 6379), Address("10.0.1.2", 6379)
AWAY = exceptions.ConnectionError("refused")


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the lookups go by a clock of the test's."""
    made = Clock()
    monkeypatch.setattr(module, "monotonic", lambda: made.now)
    return made


def asked(lookup: Lookup, replies: Mapping[Address, Any]) -> list[Address]:
    """Ask as a scout does; return who was asked."""
    asking, order = lookup.asking(), []
    try:
        node = next(asking)
        while True:
            order.append(node)
            node = asking.send(replies[node])
    except StopIteration:
        return order


def sentinel(address: Address) -> list[bytes]:
    """Return what a sentinel answers."""
    return [address.host.encode(), str(address.port).encode()]


def test_sentinels__are_asked_until_one_answers(clock: Clock) -> None:
    """Who is silent or knows nothing is asked last from then on."""
    lookup = SentinelLookup([A, B, C], "mymaster")
    assert lookup.address(0) is None
    assert asked(lookup, {A: AWAY, B: None, C: sentinel(OLD)}) == [A, B, C]
    assert lookup.address(0) == OLD
    clock.now += 1
    assert asked(lookup, {C: sentinel(OLD)}) == [C]


def test_sentinels__all_silent_leave_the_last_answer(clock: Clock) -> None:
    """The known primary is used on; before there is one, the reason is told."""
    lookup = SentinelLookup([A], "mymaster")
    asked(lookup, {A: None})
    assert lookup.complaint == "sentinel 10.0.0.1:1 knows no primary named mymaster"
    asked(lookup, {A: sentinel(OLD)})
    asked(lookup, {A: AWAY})
    assert lookup.address(0) == OLD
    assert lookup.complaint == "10.0.0.1:1 does not answer: refused"


def test_sentinels__a_doubted_answer_is_not_believed_from_one(clock: Clock) -> None:
    """A sentinel that was cut off may name the old primary for long: others are heard, too."""
    lookup = SentinelLookup([A, B, C], "mymaster")
    asked(lookup, {A: sentinel(OLD)})
    lookup.doubt()
    assert asked(lookup, {A: sentinel(OLD), B: sentinel(NEW)}) == [A, B]
    assert lookup.address(0) == NEW
    lookup.doubt()
    all_alike = {node: sentinel(NEW) for node in (A, B, C)}
    assert sorted(asked(lookup, all_alike)) == [A, B, C]
    assert lookup.address(0) == NEW


def test_sentinels__are_asked_each_second_and_twice_in_doubt(clock: Clock) -> None:
    """Neither trouble nor traffic makes it more."""
    lookup = SentinelLookup([A], "mymaster")
    assert lookup.is_due()
    asked(lookup, {A: sentinel(OLD)})
    assert not lookup.is_due()
    lookup.doubt()
    assert not lookup.is_due()
    clock.now += 0.5
    assert lookup.is_due()
    asked(lookup, {A: sentinel(OLD)})
    clock.now += 0.9
    assert not lookup.is_due()
    clock.now += 0.1
    assert lookup.is_due()


def test_sentinels__that_are_silent_for_long_are_asked_seldom(clock: Clock) -> None:
    """Who asks for seconds in vain goes on with what is known for ten times as long."""

    def ask_in_vain() -> None:
        asking = lookup.asking()
        next(asking)
        clock.now += 1.5
        with pytest.raises(StopIteration):
            asking.send(AWAY)

    lookup = SentinelLookup([A], "mymaster")
    asked(lookup, {A: sentinel(OLD)})
    ask_in_vain()
    clock.now += 14
    assert not lookup.is_due()
    lookup.doubt()
    assert lookup.is_due()
    ask_in_vain()
    clock.now += 1.4
    assert not lookup.is_due()
    clock.now += 0.1
    assert lookup.is_due()


def test_sentinels__a_refused_login_is_told_apart(clock: Clock) -> None:
    """Waiting does not help against it, until one of them lets us ask."""
    lookup = SentinelLookup([A, B], "mymaster")
    asked(lookup, {A: exceptions.AuthenticationError("WRONGPASS no"), B: AWAY})
    assert lookup.refusal == "10.0.0.1:1 does not answer: WRONGPASS no"
    asked(lookup, {A: AWAY, B: AWAY})
    assert lookup.refusal == ""


@pytest.mark.parametrize("reply", [[], [b"h"], [b"h", b"x"], b"h", 7, [b"h", None]])
def test_sentinels__a_reply_of_another_shape_is_no_answer(clock: Clock, reply: object) -> None:
    """What no sentinel says is passed over."""
    lookup = SentinelLookup([A, B], "mymaster")
    assert asked(lookup, {A: reply, B: sentinel(OLD)}) == [A, B]
    assert lookup.address(0) == OLD


def test_cluster__slots_have_their_primaries(clock: Clock) -> None:
    """Every node that is named can be asked from then on; one without a name is where we asked."""
    lookup = ClusterLookup([A])
    reply = [
        [5461, 16383, [b"10.0.0.1", 2, b"id2"], [b"10.0.0.1", 4, b"id4"]],
        [0, 5460, [None, 1, b"id1"]],
    ]
    assert asked(lookup, {A: reply}) == [A]
    assert (lookup.address(0), lookup.address(5460), lookup.address(5461)) == (A, A, B)
    assert lookup.primaries == [A, B]
    clock.now += 10_000
    assert not lookup.is_due()
    lookup.doubt()
    assert asked(lookup, dict.fromkeys((A, B, D), AWAY)) == [A, B, D]
    assert lookup.address(5461) == B


def test_cluster__a_moved_slot_is_found_at_once(clock: Clock) -> None:
    """The pointer of a node holds until the nodes are asked."""
    lookup = ClusterLookup([A])
    asked(lookup, {A: [[0, 16383, [b"10.0.0.1", 1]]]})
    lookup.moved(7, B)
    assert (lookup.address(6), lookup.address(7), lookup.address(8)) == (A, B, A)
    asked(lookup, {A: [[0, 16383, [b"10.0.0.1", 3]]], B: AWAY})
    assert lookup.address(7) == C


def test_cluster__a_slot_that_moves_on_is_found_again(clock: Clock) -> None:
    """The newest pointer counts, also where the slot is told apart from its neighbours already."""
    lookup = ClusterLookup([A])
    asked(lookup, {A: [[0, 6, [b"10.0.0.1", 1]], [7, 7, [b"10.0.0.1", 2]]]})
    for there in (C, D):
        lookup.moved(7, there)
        assert (lookup.address(6), lookup.address(7)) == (A, there)


@pytest.mark.parametrize("host", [None, b"", b"?"])
@pytest.mark.parametrize("more", [[b"ip", b"10.0.0.1"], {b"ip": b"10.0.0.1"}])
def test_cluster__a_node_without_a_name_has_an_address(
    clock: Clock, host: bytes | None, more: object
) -> None:
    """It is where the cluster says beside the name, or else where we asked."""
    lookup = ClusterLookup([D])
    asked(lookup, {D: [[0, 9, [host, 1, b"id", more]], [10, 19, [host, 4, b"id", []]]]})
    assert (lookup.address(0), lookup.address(10)) == (A, D)


def test_cluster__one_without_slots_says_nothing(clock: Clock) -> None:
    """A node that has just been reset is passed over."""
    lookup = ClusterLookup([A])
    asked(lookup, {A: []})
    assert lookup.address(0) is None
    assert lookup.complaint == "10.0.0.1:1 knows of no slots"


def test_slot__is_that_of_the_tag() -> None:
    """All keys of a shard are in the slot of what stands in its braces."""
    assert slot_of("{gn:0}") == slot_of("{gn:0}:schedule:push") == 5272
