"""Where the primary is: whom to ask, what to believe, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from redis import exceptions

from galaxy_notify.redis_client import topology as module
from galaxy_notify.redis_client.topology import (
    Address,
    ClusterTopology,
    SentinelTopology,
    Topology,
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


def asked(topology: Topology, replies: Mapping[Address, Any]) -> list[Address]:
    """Ask as a scout does; return who was asked."""
    asking, order = topology.asking(), []
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
    topology = SentinelTopology([A, B, C], "mymaster")
    assert topology.address(0) is None
    assert asked(topology, {A: AWAY, B: None, C: sentinel(OLD)}) == [A, B, C]
    assert topology.address(0) == OLD
    clock.now += 1
    assert asked(topology, {C: sentinel(OLD)}) == [C]


def test_sentinels__all_silent_leave_the_last_answer(clock: Clock) -> None:
    """The known primary is used on; before there is one, the reason is told."""
    topology = SentinelTopology([A], "mymaster")
    asked(topology, {A: None})
    assert topology.complaint == "sentinel 10.0.0.1:1 has no primary named mymaster"
    asked(topology, {A: sentinel(OLD)})
    asked(topology, {A: AWAY})
    assert topology.address(0) == OLD
    assert topology.complaint == "10.0.0.1:1 does not answer: refused"


def test_sentinels__a_stale_answer_is_not_accepted_from_one(clock: Clock) -> None:
    """A sentinel that was cut off may name the old primary for long: others are heard, too."""
    topology = SentinelTopology([A, B, C], "mymaster")
    asked(topology, {A: sentinel(OLD)})
    topology.mark_stale()
    assert asked(topology, {A: sentinel(OLD), B: sentinel(NEW)}) == [A, B]
    assert topology.address(0) == NEW
    topology.mark_stale()
    all_alike = {node: sentinel(NEW) for node in (A, B, C)}
    assert sorted(asked(topology, all_alike)) == [A, B, C]
    assert topology.address(0) == NEW


def test_sentinels__are_asked_each_second_and_twice_in_doubt(clock: Clock) -> None:
    """Neither trouble nor traffic makes it more."""
    topology = SentinelTopology([A], "mymaster")
    assert topology.is_due()
    asked(topology, {A: sentinel(OLD)})
    assert not topology.is_due()
    topology.mark_stale()
    assert not topology.is_due()
    clock.now += 0.5
    assert topology.is_due()
    asked(topology, {A: sentinel(OLD)})
    clock.now += 0.9
    assert not topology.is_due()
    clock.now += 0.1
    assert topology.is_due()


def test_sentinels__that_are_silent_for_long_are_asked_seldom(clock: Clock) -> None:
    """Who asks for seconds in vain goes on with what is known for ten times as long."""

    def ask_in_vain() -> None:
        asking = topology.asking()
        next(asking)
        clock.now += 1.5
        with pytest.raises(StopIteration):
            asking.send(AWAY)

    topology = SentinelTopology([A], "mymaster")
    asked(topology, {A: sentinel(OLD)})
    ask_in_vain()
    clock.now += 14
    assert not topology.is_due()
    topology.mark_stale()
    assert topology.is_due()
    ask_in_vain()
    clock.now += 1.4
    assert not topology.is_due()
    clock.now += 0.1
    assert topology.is_due()


def test_sentinels__a_refused_login_is_told_apart(clock: Clock) -> None:
    """Waiting does not help against it, until one of them lets us ask."""
    topology = SentinelTopology([A, B], "mymaster")
    asked(topology, {A: exceptions.AuthenticationError("WRONGPASS no"), B: AWAY})
    assert topology.refusal == "10.0.0.1:1 does not answer: WRONGPASS no"
    asked(topology, {A: AWAY, B: AWAY})
    assert topology.refusal == ""


@pytest.mark.parametrize("reply", [[], [b"h"], [b"h", b"x"], b"h", 7, [b"h", None]])
def test_sentinels__a_reply_of_another_shape_is_no_answer(clock: Clock, reply: object) -> None:
    """What no sentinel says is passed over."""
    topology = SentinelTopology([A, B], "mymaster")
    assert asked(topology, {A: reply, B: sentinel(OLD)}) == [A, B]
    assert topology.address(0) == OLD


def test_cluster__slots_have_their_primaries(clock: Clock) -> None:
    """Every node that is named can be asked from then on; one without a name is where we asked."""
    topology = ClusterTopology([A])
    reply = [
        [5461, 16383, [b"10.0.0.1", 2, b"id2"], [b"10.0.0.1", 4, b"id4"]],
        [0, 5460, [None, 1, b"id1"]],
    ]
    assert asked(topology, {A: reply}) == [A]
    assert (topology.address(0), topology.address(5460), topology.address(5461)) == (A, A, B)
    clock.now += 10_000
    assert not topology.is_due()
    topology.mark_stale()
    assert asked(topology, dict.fromkeys((A, B, D), AWAY)) == [A, B, D]
    assert topology.address(5461) == B


def test_cluster__a_moved_slot_is_found_at_once(clock: Clock) -> None:
    """The pointer of a node holds until the nodes are asked."""
    topology = ClusterTopology([A])
    asked(topology, {A: [[0, 16383, [b"10.0.0.1", 1]]]})
    topology.moved(7, B)
    assert (topology.address(6), topology.address(7), topology.address(8)) == (A, B, A)
    asked(topology, {A: [[0, 16383, [b"10.0.0.1", 3]]], B: AWAY})
    assert topology.address(7) == C


def test_cluster__a_slot_that_moves_on_is_found_again(clock: Clock) -> None:
    """The newest pointer counts, also where the slot is told apart from its neighbours already."""
    topology = ClusterTopology([A])
    asked(topology, {A: [[0, 6, [b"10.0.0.1", 1]], [7, 7, [b"10.0.0.1", 2]]]})
    for there in (C, D):
        topology.moved(7, there)
        assert (topology.address(6), topology.address(7)) == (A, there)


@pytest.mark.parametrize("host", [None, b"", b"?"])
@pytest.mark.parametrize("more", [[b"ip", b"10.0.0.1"], {b"ip": b"10.0.0.1"}])
def test_cluster__a_node_without_a_name_has_an_address(
    clock: Clock, host: bytes | None, more: object
) -> None:
    """It is where the cluster says beside the name, or else where we asked."""
    topology = ClusterTopology([D])
    asked(topology, {D: [[0, 9, [host, 1, b"id", more]], [10, 19, [host, 4, b"id", []]]]})
    assert (topology.address(0), topology.address(10)) == (A, D)


def test_cluster__one_without_slots_says_nothing(clock: Clock) -> None:
    """A node that has just been reset is passed over."""
    topology = ClusterTopology([A])
    asked(topology, {A: []})
    assert topology.address(0) is None
    assert topology.complaint == "10.0.0.1:1 has no slots"


def test_slot__is_that_of_the_tag() -> None:
    """All keys of a shard are in the slot of what stands in its braces."""
    assert slot_of("{gn:0}") == slot_of("{gn:0}:schedule:push") == 5272
