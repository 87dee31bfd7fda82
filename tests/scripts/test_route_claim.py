"""claim: due members under a lease, each read for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from galaxy_notify.redis_state import calls, leases
from tests.scripts.support.injection import refuse_all, refuse_on
from tests.scripts.support.seeds import SEEDS, abandon
from tests.scripts.support.shard import LIMITS, MINE, NOW, TTL, Shard, new
from tests.scripts.support.snapshot import snapshot

SECOND = f"host-2-ffff:0:{TTL}:1"


def _names(claim: leases.Claim) -> list[str]:
    return [member.member.decode() for member in claim.members]


def test_claim__leases_what_is_due(shard: Shard) -> None:
    """The score becomes the time the lease lapses; state and record are given, each once."""
    members = shard.accept(1, "push:u1", "push:u2")
    claim = shard.claim()
    assert (claim.word, claim.now_ms, _names(claim)) == ("claimed", NOW, members)
    assert shard.schedule() == dict.fromkeys(members, NOW + TTL)
    assert shard.leases() == dict.fromkeys(members, MINE)
    assert {m.state for m in claim.members} == {shard.state(members[0])}
    assert claim.records == {members[0][:32].encode(): new(1, ("push:u1", "push:u2")).record}
    assert [(m.verdict, m.abandoned) for m in claim.members] == [("", 0)] * 2
    assert shard.total("abandoned") == 0


def test_claim__takes_the_oldest_first(shard: Shard) -> None:
    """What is due longest is taken first, as many as asked for; -inf is due, +inf never."""
    late, early, never, always = (shard.accept(n)[0] for n in range(1, 5))
    scores: dict[str, int | str] = {late: NOW - 1, early: NOW - 9, never: "inf", always: "-inf"}
    shard.client.zadd(shard.keys.schedule("push"), scores)
    assert _names(shard.claim(limits=replace(LIMITS, members=2))) == [always, early]
    assert _names(shard.claim(SECOND)) == [late]
    assert shard.claim("host-3:0:1").next_due_ms == NOW + TTL


def test_claim__is_idle_until_the_next_is_due(shard: Shard) -> None:
    """Where nothing is due it says when something will be; to the millisecond."""
    assert shard.claim().next_due_ms is None
    (member,) = shard.accept(1, due=NOW + 700)
    claim = shard.claim()
    assert (claim.word, claim.next_due_ms) == ("idle", NOW + 700)
    shard.now += 699
    assert shard.claim().word == "idle"
    shard.now += 1
    assert _names(shard.claim()) == [member]


def test_claim__knows_no_next_time_for_what_is_never_due(shard: Shard) -> None:
    """A score of +inf is no time to wait for."""
    (member,) = shard.accept(1)
    shard.client.zadd(shard.keys.schedule("push"), {member: "inf"})
    claim = shard.claim()
    assert (claim.word, claim.next_due_ms) == ("idle", None)


def test_claim__gives_two_workers_different_members(shard: Shard) -> None:
    """Nobody takes what another one holds."""
    for number in range(10):
        shard.accept(number)
    first = _names(shard.claim(limits=replace(LIMITS, members=6)))
    second = _names(shard.claim(SECOND))
    assert (len(first), len(second)) == (6, 4)
    assert not set(first) & set(second)


@pytest.mark.parametrize("paused", [False, True])
def test_claim__asked_again_gives_the_same(paused: bool, shard: Shard) -> None:
    """A claim whose answer was lost gives back what it had given, and changes nothing."""
    for number in range(3):
        shard.accept(number)
    first = shard.claim()
    shard.accept(9)
    if paused:
        shard.run(calls.channel_pause(shard.keys, "push"))
    shard.now += 10
    before = snapshot(shard)
    again = shard.claim()
    assert sorted(again.members) == sorted(first.members)
    assert again.records == first.records
    assert snapshot(shard) == before


def test_claim__asked_again_for_fewer_gives_the_rest_back(shard: Shard) -> None:
    """An answer too large to arrive is not sent again as it was: the rest is due, and uncounted."""
    shard.accept(1)
    abandon(shard, 1)
    members = [*shard.schedule(), *(shard.accept(number)[0] for number in (2, 3, 4))]
    assert len(shard.claim().members) == 4
    shard.now += 10
    kept = _names(shard.claim(limits=replace(LIMITS, members=1)))
    assert kept == members[:1]
    assert shard.schedule() == dict.fromkeys(members[1:], shard.now) | {kept[0]: NOW + TTL}
    assert (shard.leases(), shard.counts()) == ({kept[0]: MINE}, {kept[0]: 1})
    again = shard.claim(SECOND)
    assert [member.abandoned for member in again.members] == [0, 0, 0]
    assert shard.total("abandoned") == 1


def test_claim__asked_again_for_fewer_keeps_the_count_of_the_rest(shard: Shard) -> None:
    """What others had left behind before is no less suspect for having been given back."""
    shard.accept(1)
    shard.accept(2)
    abandon(shard, 1)
    assert [member.abandoned for member in shard.claim().members] == [1, 1]
    (kept,) = _names(shard.claim(limits=replace(LIMITS, members=1)))
    claim = shard.claim(SECOND)
    assert kept not in _names(claim)
    assert [member.abandoned for member in claim.members] == [1]


def test_claim__asked_again_after_others_took_it_takes_anew(shard: Shard) -> None:
    """What lapsed meanwhile belongs to whoever took it; the late one takes what is due now."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.now += TTL
    assert _names(shard.claim(SECOND)) == [member]
    (other,) = shard.accept(2)
    assert _names(shard.claim()) == [other]
    assert shard.leases() == {member: SECOND, other: MINE}


def test_claim__counts_abandoned_leases(shard: Shard) -> None:
    """A lease that lapses counts against the route, and its worker loses the fence."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.now += TTL - 1
    assert shard.claim(SECOND).word == "idle"
    shard.now += 1
    claim = shard.claim(SECOND)
    assert [m.abandoned for m in claim.members] == [1]
    assert (shard.leases(), shard.counts()) == ({member: SECOND}, {member: 1})
    assert shard.total("abandoned") == 1


def test_claim__passes_suspects_over_and_takes_them_alone(shard: Shard) -> None:
    """A route abandoned twice is taken with nothing else, one at a time."""
    suspects = [shard.accept(n)[0] for n in (1, 2)]
    abandon(shard, 2)
    (innocent,) = shard.accept(3)
    claim = shard.claim()
    assert (_names(claim), claim.suspects) == ([innocent], 2)
    alone = shard.claim(SECOND, alone=True)
    assert len(alone.members) == 1
    assert alone.members[0].abandoned == 2
    assert _names(alone)[0] in suspects
    assert shard.claim("host-3:0:1").suspects == 1


def test_claim__alone_takes_no_innocent(shard: Shard) -> None:
    """Where no suspect is due, a claim for one takes nothing."""
    shard.accept(1)
    before = snapshot(shard)
    assert shard.claim(alone=True).word == "idle"
    assert snapshot(shard) == before


def test_claim__scans_past_a_thousand_suspects(shard: Shard) -> None:
    """Many that cannot be taken together do not hide the ones behind them."""
    shard.answers(new(1, [f"push:bad-{n:04d}" for n in range(1000)]))
    suspects = dict.fromkeys(shard.schedule(), 2)
    shard.client.hset(shard.keys.abandoned("push"), mapping=suspects)  # type: ignore[arg-type]  # invariant
    shard.now += 1
    innocents = shard.accept(2, "push:u1", "push:u2")
    claim = shard.claim()
    assert (_names(claim), claim.suspects) == (innocents, 1000)


def test_claim__is_held_by_a_long_stream(shard: Shard) -> None:
    """At the length it is told, nothing is claimed; 0 means never."""
    shard.accept(1)
    for _ in range(3):
        shard.client.xadd(shard.keys.stream, {"n": 1})
    before = snapshot(shard)
    held = shard.claim(limits=replace(LIMITS, hold_at=3))
    assert (held.word, held.stream_length) == ("held", 3)
    assert snapshot(shard) == before
    assert shard.claim(limits=replace(LIMITS, hold_at=4)).word == "claimed"


def test_claim__of_a_paused_channel_takes_nothing(shard: Shard) -> None:
    """A paused channel rests; the others are claimed."""
    shard.accept(1, "email:u1", "push:u1")
    shard.run(calls.channel_pause(shard.keys, "push"))
    before = snapshot(shard)
    assert shard.claim().word == "paused"
    assert snapshot(shard) == before
    assert shard.claim(SECOND, channel="email").word == "claimed"


def test_claim__that_is_full_wakes_the_next_worker(shard: Shard) -> None:
    """Whoever could take no more passes the wake-up on."""
    shard.accept(1, "push:u1", "push:u2", "push:u3")
    wake = shard.keys.wake("push")
    shard.client.delete(wake)
    shard.claim(limits=replace(LIMITS, members=2))
    assert shard.client.llen(wake) == 1
    shard.client.delete(wake)
    shard.claim(SECOND, limits=replace(LIMITS, members=2))
    assert shard.client.llen(wake) == 0


def test_claim__that_cannot_read_takes_nothing(shard: Shard) -> None:
    """A permission that is missing is no reason to call a record unusable."""
    SEEDS["pending"](shard, 1)
    before = snapshot(shard)
    call = leases.route_claim(shard.keys, "push", MINE, LIMITS, alone=False, now=NOW)
    for command in ("HLEN", "ZRANGEBYSCORE", "HMGET", "ZCOUNT", "EXISTS"):
        injected = refuse_all(shard, call, command)
        if injected.command:
            assert injected.failed
            assert snapshot(shard) == before


def test_claim__that_cannot_write_its_leases_leaves_all_due(shard: Shard) -> None:
    """A route without a lease does not wait for one to lapse."""
    for number in (1, 2, 3):
        shard.accept(number)
    call = leases.route_claim(shard.keys, "push", MINE, LIMITS, alone=False, now=NOW)
    for index in (shard.keys.leases("push"), shard.keys.schedule("push")):
        assert refuse_on(shard, call, "ZADD", index).failed
        assert set(shard.schedule().values()) == {NOW}
        assert shard.leases() == {}
    assert shard.claim().word == "claimed"


def test_claim__asked_again_after_it_lapsed_keeps_its_new_lease(shard: Shard) -> None:
    """A lease that ended with nothing left behind is no reason to end the one that follows."""
    (member,) = shard.accept(1)
    shard.claim()
    shard.cancel(member)
    shard.now += TTL
    (other,) = shard.accept(2)
    assert _names(shard.claim()) == [other]
    assert shard.leases() == {other: MINE}


def test_claim__works_where_a_float_holds_fewer_fractions(shard: Shard) -> None:
    """From September 2039 on, half as many times fit between two milliseconds."""
    shard.now = 2**41 + 1000
    members = [shard.accept(number)[0] for number in range(2)]
    few = replace(LIMITS, members=1)
    assert _names(shard.claim(limits=few)) + _names(shard.claim(SECOND, limits=few)) == members
    assert sorted(shard.leases().values()) == [MINE, SECOND]


def test_claim__asked_again_for_fewer_needs_no_memory(shard: Shard) -> None:
    """A server that refuses writes gives again what it gave; the rest is left to lapse."""
    for number in range(3):
        shard.accept(number)
    assert len(shard.claim().members) == 3
    call = leases.route_claim(
        shard.keys, "push", MINE, replace(LIMITS, members=1), alone=False, now=shard.now
    )
    assert not refuse_on(shard, call, "ZADD", shard.keys.schedule("push")).failed
    assert len(shard.leases()) == 3


def test_claim__shares_no_time_with_what_was_left_behind(shard: Shard) -> None:
    """Once the clock was set back, a new lease does not take in what an old one left behind."""
    first, left = shard.accept(1, "push:u1", "push:u2")
    shard.claim()
    shard.now += TTL
    assert _names(shard.claim(SECOND, limits=replace(LIMITS, members=1))) == [first]
    shard.now -= TTL
    (third,) = shard.accept(3)
    assert _names(shard.claim(f"host-3-aaaa:0:{TTL}:1")) == [third]
    assert shard.leases() == {first: SECOND, third: f"host-3-aaaa:0:{TTL}:1"}
    assert left in shard.schedule()
