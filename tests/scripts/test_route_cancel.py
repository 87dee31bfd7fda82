"""cancel: pending or failed → cancelled, and no worker may settle it afterwards."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state import calls
from tests.scripts.support.injection import refuse_all
from tests.scripts.support.invariants import assert_consistent, assert_counted
from tests.scripts.support.outcomes import publishing
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import KEEP, NOW, Shard, new
from tests.scripts.support.snapshot import snapshot


@pytest.mark.parametrize("state", ["pending", "failed", "leased", "lapsed", "replayed"])
def test_cancel__takes_it_back(state: str, shard: Shard) -> None:
    """A cancelled route is final, off the schedule, and no lease on it is left."""
    member = SEEDS[state](shard, 1)
    assert shard.cancel(member) == ["known", "cancelled"]
    route = shard.route(member)
    assert (route.status, route.at_ms) == (Status.CANCELLED, NOW)
    assert not shard.schedule()
    assert not shard.leases()
    assert shard.open(member) == 0
    assert 0 < shard.client.pttl(shard.hash_of(member)) <= KEEP
    assert shard.total("cancelled") == 1
    assert_counted(shard)


def test_cancel__twice_changes_nothing(shard: Shard) -> None:
    """The same call sent again, after a lost reply say, finds the state changed."""
    (member,) = shard.accept(1)
    call = shard.cancelling(member)
    shard.run(call)
    before = snapshot(shard)
    assert calls.words(shard.run(call)) == ["known", "changed"]
    assert snapshot(shard) == before


def test_cancel__of_one_route_leaves_the_others(shard: Shard) -> None:
    """The notification stays while another route needs it, and others may be published."""
    first, second = shard.accept(1, "push:u1", "push:u2")
    assert shard.cancel(first) == ["known", "cancelled"]
    assert shard.client.pttl(shard.hash_of(first)) == -1
    assert list(shard.schedule()) == [second]
    shard.claim()
    assert shard.words(publishing(shard, second)) == ["published"]
    assert_counted(shard)


def test_cancel__answers_each_route(shard: Shard) -> None:
    """One that changed meanwhile is told apart from those that were taken back."""
    first, second, third = shard.accept(1, "push:u1", "push:u2", "push:u3")
    call = shard.cancelling(first, second, third)
    shard.cancel(second)
    assert calls.words(shard.run(call)) == ["known", "cancelled", "changed", "cancelled"]
    assert shard.total("cancelled") == 3
    assert_counted(shard)


def test_cancel__takes_a_thousand_routes(shard: Shard) -> None:
    """The largest part is taken back in one call."""
    shard.answers(new(1, [f"push:user-{n:03d}" for n in range(1000)]))
    members = list(shard.schedule())
    assert shard.cancel(*members) == ["known", *["cancelled"] * 1000]
    assert not shard.schedule()
    assert_counted(shard)


@pytest.mark.parametrize("known", [True, False])
def test_cancel__marks_for_parts_that_come_later(known: bool, shard: Shard) -> None:
    """The mark stays with the notification; without one it goes by itself."""
    key = shard.keys.notification(f"{1:032x}")
    if known:
        shard.accept(1)
    call = calls.route_cancel(shard.keys, f"{1:032x}", (), keep_ms=KEEP, mark=True)
    assert calls.words(shard.run(call)) == ["known" if known else "unknown"]
    assert shard.client.hget(key, "cancelled") == b"1"
    assert (shard.client.pttl(key) == -1) == known


def test_cancel__without_a_mark_makes_nothing(shard: Shard) -> None:
    """Asking for what is not there leaves no trace."""
    call = calls.route_cancel(shard.keys, f"{1:032x}", (), keep_ms=KEEP, mark=False)
    assert calls.words(shard.run(call)) == ["unknown"]
    assert snapshot(shard) == {}


@pytest.mark.parametrize("mark", [True, False])
def test_cancel__at_maxmemory(mark: bool, shard: Shard) -> None:
    """Where there is no room, marking refuses as a whole; taking back makes room and works."""
    (member,) = shard.accept(1)
    call = shard.cancelling(member, mark=mark)
    before = snapshot(shard)
    shard.client.config_set("maxmemory", "1")
    try:
        if mark:
            with pytest.raises(RedisFault, match="OOM"):
                shard.run(call)
            assert snapshot(shard) == before
        else:
            assert calls.words(shard.run(call)) == ["known", "cancelled"]
    finally:
        shard.client.config_set("maxmemory", "0")
    assert_consistent(shard)


def test_cancel__that_cannot_read_the_state_says_so(shard: Shard) -> None:
    """Not being allowed to read is a fault, no reason to read again and again."""
    (member,) = shard.accept(1)
    before = snapshot(shard)
    injected = refuse_all(shard, shard.cancelling(member), "HGET")
    assert injected.reply == [b"known", b"fault"]
    assert snapshot(shard) == before
