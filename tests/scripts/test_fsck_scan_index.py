"""survey and census: they name what fsck has to look at, pass over what is sound, write nothing."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.fsck.pages import (
    HELD_BACK_MS,
    CensusPage,
    Cursor,
    IndexPage,
    fsck_scan_index,
    fsck_scan_notifications,
    read_index_page,
    read_notification_page,
)
from galaxy_notify.redis_client.flows import Flow
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import MINE, NOW, TTL, Shard, split
from tests.scripts.support.snapshot import snapshot

SOUND = sorted(set(SEEDS) - {"vanished"})
LARGE = 90


def surveyed(shard: Shard, index: str = "schedule", channel: str = "push") -> tuple[int, list[str]]:
    """Walk through an index; return how many members it has, and those that are named."""
    members, odd, cursor = 0, [], Cursor()
    while not cursor.is_done:
        page: IndexPage = _run(shard, read_index_page(shard.keys, index, channel, cursor))
        members += page.members
        odd += [member.decode(errors="replace") for member in page.odd]
    return members, odd


def counted(shard: Shard) -> tuple[list[str], int, list[str], set[str]]:
    """Walk through the notifications: ids, how many routes, those that are named, channels."""
    ids, routes, odd, channels, cursor = [], 0, [], set[str](), Cursor()
    while not cursor.is_done:
        page: CensusPage = _run(shard, read_notification_page(shard.keys, cursor))
        ids += [one.decode() for one in page.ids]
        routes += page.routes
        odd += [one.decode() for one in page.odd]
        channels |= {one.decode() for one in page.channels}
    return sorted(ids), routes, odd, channels


def _run(shard: Shard, flow: Flow[Any]) -> Any:
    """Run a flow at the shard's time."""
    (call,) = next(flow)
    try:
        flow.send([shard.run(call)])  # type: ignore[arg-type]  # a script, and no reading
    except StopIteration as end:
        return end.value
    raise AssertionError("one round trip was expected")


@pytest.mark.parametrize("state", SOUND)
def test_survey__passes_over_what_stands_where_it_should(state: str, shard: Shard) -> None:
    """A route of any state is where its state says, in every index, and its count is right."""
    member = SEEDS[state](shard, 1)
    before = snapshot(shard)
    for index in ("schedule", "abandoned", "dead"):
        assert surveyed(shard, index)[1] == []
    ids, routes, odd, _ = counted(shard)
    assert (ids, routes, odd) == ([split(member)[0]], 1, [])
    assert snapshot(shard) == before


@pytest.mark.parametrize(
    ("score", "named"),
    [
        (NOW + 5_000, False),
        (NOW + 4_999, True),
        (NOW + HELD_BACK_MS, False),
        (NOW + HELD_BACK_MS + 1, True),
        (float("inf"), True),
        (float("-inf"), True),
        (1e300, True),
    ],
)
def test_survey__names_what_is_untimely(score: float, named: bool, shard: Shard) -> None:
    """A route is scheduled for when it is due, or a little later, where a worker gave it back."""
    (member,) = shard.accept(1, due=NOW + 5_000)
    shard.client.zadd(shard.keys.schedule("push"), {member: score})
    assert surveyed(shard) == (1, [member] if named else [])


@pytest.mark.parametrize(("lapses", "named"), [(NOW + TTL, False), (NOW + TTL + 1, True)])
def test_survey__names_a_lease_that_is_too_long(lapses: int, named: bool, shard: Shard) -> None:
    """Under a lease the score is when it lapses, which is no later than it may last."""
    (member,) = shard.accept(1)
    shard.lease(member, MINE, lapses)
    assert surveyed(shard) == (1, [member] if named else [])


def test_survey__knows_a_body_that_cannot_be_read(shard: Shard) -> None:
    """Every member with such a body is named, and only those; bodies are answered once."""
    bad, good, fresh = (SEEDS["failed"](shard, number) for number in (1, 2, 3))
    broken = shard.client.hget(shard.hash_of(bad), "push:u1")
    assert isinstance(broken, bytes)
    for member in (bad, fresh):
        shard.client.hset(shard.hash_of(member), "push:u1", broken[:28] + b"\x81")
        score: Any = shard.client.zscore(shard.keys.schedule("push"), bad)
        shard.client.zadd(shard.keys.schedule("push"), {member: score})
    assert sorted(surveyed(shard)[1]) == sorted([bad, fresh])
    reply: Any = shard.run(fsck_scan_index(shard.keys, "schedule", "push", "0"))
    assert len(reply[3]) == 2
    assert good not in surveyed(shard)[1]


@pytest.mark.parametrize(
    "member", [b"nobody", b"\xff\x00", b"0/push:u1", b"0/email:u1", b"0/push:a b", b""]
)
def test_survey__names_what_is_no_member(member: bytes, shard: Shard) -> None:
    """Whatever somebody wrote into an index, it is named and breaks nothing."""
    shard.client.zadd(shard.keys.schedule("push"), {member: NOW})
    assert surveyed(shard) == (1, [member.decode(errors="replace")])


def test_survey__looks_at_every_page(shard: Shard) -> None:
    """A long index is walked through to its end, and nothing in it is named."""
    for number in range(1, 700):
        shard.accept(number, due=NOW + 5_000)
    assert surveyed(shard) == (699, [])
    ids, routes, odd, channels = counted(shard)
    assert (len(ids), routes, odd, channels) == (699, 699, [], {"push"})


def test_census__divides_large_notifications(shard: Shard) -> None:
    """A page with very many routes ends early, and goes on with what it left."""
    many = tuple(f"push:u{number}" for number in range(LARGE))
    for number in range(1, 31):
        shard.accept(number, *many)
    ids, routes, odd, _ = counted(shard)
    assert (ids, routes, odd) == ([f"{n:032x}" for n in range(1, 31)], 30 * LARGE, [])
    reply: Any = shard.run(fsck_scan_notifications(shard.keys, "0", ()))
    assert 1000 <= reply[2] <= 1000 + LARGE
    assert reply[5]


def test_census__names_what_counts_wrongly(shard: Shard) -> None:
    """Too many, too few, an expiry too early or never, a route that no index has, no hash."""
    many, soon, endless, lost, foreign = (shard.accept(n, "push:u1")[0] for n in range(1, 6))
    unwrap = shard.accept(6)[0]
    shard.client.hset(shard.hash_of(many), "open", 2)
    shard.client.pexpire(shard.hash_of(soon), 10**9)
    shard.cancel(endless)
    shard.client.persist(shard.hash_of(endless))
    shard.client.zrem(shard.keys.schedule("push"), lost)
    shard.client.set(shard.hash_of(foreign), "foreign")
    named = counted(shard)[2]
    assert sorted(named) == [split(each)[0] for each in (many, soon, endless, lost, foreign)]
    assert split(unwrap)[0] not in named


def test_census__knows_only_its_own_shard(shard: Shard) -> None:
    """What other shards, deployments and programs keep in the same server is not looked at."""
    shard.accept(1)
    for key in ("{gn:1}:notification:1", "{other:0}:notification:1", "notification:1"):
        shard.client.hset(key, "open", 1)
    assert counted(shard)[0] == [f"{1:032x}"]
    shard.client.delete("{gn:1}:notification:1", "{other:0}:notification:1", "notification:1")
