"""reserve: a user is told of a type once within its cooldown, whoever asks at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_state.reservations import (
    Holder,
    Reservation,
    cooldown_reserve,
    read_cooldown_reserve,
)
from tests.scripts.support.shard import NOW, Shard
from tests.scripts.support.snapshot import snapshot

DAY = 86_400_000
FIRST, SECOND = f"{1:032x}", f"{2:032x}"


def ask(
    shard: Shard,
    part: str,
    *,
    rank: int = 0,
    due: int | None = None,
    undelivered: bytes = b"",
    cooldown: int = DAY,
) -> bytes:
    """Ask for the cooldown of one user; nothing means that it may be told."""
    item = Reservation("u1", part, rank, due, undelivered)
    (held,) = read_cooldown_reserve(
        shard.run(cooldown_reserve(shard.keys, "chat", cooldown, [item])), 1
    )
    return held


def test_reserve__holds_for_exactly_the_cooldown(shard: Shard) -> None:
    """Not yet at 23:59:59.999, again at 24:00:00; the key goes by itself."""
    assert ask(shard, FIRST) == b""
    shard.now = NOW + DAY - 1
    assert Holder.read(ask(shard, SECOND)) == Holder(FIRST, NOW)
    shard.now = NOW + DAY
    assert ask(shard, SECOND) == b""
    pttl: Any = shard.client.pttl(shard.keys.cooldown("chat", "u1"))
    assert 0 < pttl <= DAY


def test_reserve__asked_again_is_the_same(shard: Shard) -> None:
    """The holder is told at every repeat; nothing is prolonged by that."""
    assert ask(shard, FIRST) == b""
    before = snapshot(shard)
    shard.now += 5000
    assert ask(shard, FIRST) == b""
    assert snapshot(shard) == before


def test_reserve__of_a_user_in_two_parts_is_held_by_both(shard: Shard) -> None:
    """Neither holds the other back; where the first came to nothing the second may have not."""
    assert ask(shard, FIRST) == ask(shard, f"{FIRST}.2") == b""
    held = ask(shard, SECOND)
    assert [one.part for one in Holder.read_all(held)] == [FIRST, f"{FIRST}.2"]
    assert ask(shard, SECOND, undelivered=held.split(b",")[0]) == held.split(b",")[1]
    assert ask(shard, SECOND, undelivered=held) == b""


def test_reserve__of_what_is_far_apart_stands_beside_each_other(shard: Shard) -> None:
    """What is scheduled does not free today, nor does today free that day."""
    third = f"{3:032x}"
    assert ask(shard, FIRST) == ask(shard, SECOND, due=NOW + 7 * DAY) == b""
    assert Holder.read(ask(shard, third)).part == FIRST
    shard.now = NOW + 2 * DAY
    assert ask(shard, third) == b""
    assert Holder.read(ask(shard, f"{4:032x}", due=NOW + 7 * DAY)).part == SECOND


def test_reserve__of_the_lesser_stays_beside_the_more_severe(shard: Shard) -> None:
    """Where the more severe came to nothing, what was told before it still holds."""
    assert ask(shard, FIRST) == ask(shard, SECOND, rank=2) == b""
    held = ask(shard, f"{3:032x}")
    assert [one.part for one in Holder.read_all(held)] == [FIRST, SECOND]
    found = ask(shard, f"{3:032x}", undelivered=held.split(b",")[1])
    assert Holder.read(found).part == FIRST


def test_reserve__keeps_a_bounded_number(shard: Shard) -> None:
    """Of very many that are scheduled, those furthest ahead are given up first."""
    for number in range(40):
        assert ask(shard, f"{number:032x}", due=NOW + number * DAY) == b""
    value: Any = shard.client.get(shard.keys.cooldown("chat", "u1"))
    kept = Holder.read_all(value)
    assert [int(one.part, 16) for one in kept] == list(range(8))


@pytest.mark.parametrize(("rank", "passes"), [(0, False), (1, False), (2, True), (3, True)])
def test_reserve__gives_way_to_the_more_severe(rank: int, passes: bool, shard: Shard) -> None:
    """What is as severe, or less, waits."""
    assert ask(shard, FIRST, rank=1) == b""
    assert (ask(shard, SECOND, rank=rank) == b"") == passes


def test_reserve__of_what_was_not_delivered_is_taken_over_once(shard: Shard) -> None:
    """Of two that found it out, the second finds the first one's reservation."""
    assert ask(shard, FIRST) == b""
    held = ask(shard, SECOND)
    assert ask(shard, SECOND, undelivered=held) == b""
    assert Holder.read(ask(shard, f"{3:032x}", undelivered=held)).part == SECOND


def test_reserve__compares_when_notifications_are_due(shard: Shard) -> None:
    """What is scheduled far ahead holds nobody back now, and nobody else on its day."""
    assert ask(shard, FIRST, due=NOW + 10 * DAY) == b""
    assert ask(shard, SECOND, due=NOW + 10 * DAY - 1) != b""
    assert ask(shard, SECOND, due=NOW + 9 * DAY) == b""
    # A due time in the past means now.
    assert ask(shard, f"{3:032x}", due=NOW - 5 * DAY) == b""


def test_reserve__is_each_users_and_each_types_own(shard: Shard) -> None:
    """Neither another user nor another type is held back."""
    users = [Reservation(user, FIRST, 0, None) for user in ("u1", "u2", "u1")]
    assert (
        read_cooldown_reserve(shard.run(cooldown_reserve(shard.keys, "chat", DAY, users)), 3)
        == [b""] * 3
    )
    others = [Reservation(user, SECOND, 0, None) for user in ("u3", "u2")]
    free, held = read_cooldown_reserve(
        shard.run(cooldown_reserve(shard.keys, "chat", DAY, others)), 2
    )
    assert free == b""
    assert Holder.read(held).part == FIRST
    mail = cooldown_reserve(shard.keys, "mail", DAY, [Reservation("u1", SECOND, 0, None)])
    assert read_cooldown_reserve(shard.run(mail), 1) == [b""]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"no reservation",
        b"\xff\0",
        b"a b c d",
        b"1 2 3",
        b"1\xff 0 0 0",
        b"1 0 0 " + b"9" * 5000,
        b"1 0 0 0,",
    ],
)
def test_reserve__leaves_what_is_none_alone(value: bytes, shard: Shard) -> None:
    """A stranger's bytes hold nobody back, and stay."""
    shard.client.set(shard.keys.cooldown("chat", "u1"), value)
    assert ask(shard, FIRST) == ask(shard, SECOND) == b""
    assert shard.client.get(shard.keys.cooldown("chat", "u1")) == value


def test_reserve__leaves_a_key_of_another_type_alone(shard: Shard) -> None:
    """It is not ours, so it neither holds nor is overwritten; neighbours have theirs."""
    shard.client.hset(shard.keys.cooldown("chat", "u1"), "foreign", "1")
    before = snapshot(shard)
    assert ask(shard, FIRST) == ask(shard, SECOND) == b""
    assert snapshot(shard) == before
