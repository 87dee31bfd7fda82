"""glance: what a list tells of notifications, with bounds on what is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from galaxy_notify.redis_inspect.listing import listing_read
from tests.scripts.support.seeds import SEEDS
from tests.scripts.support.shard import NOW, Shard, new
from tests.scripts.support.snapshot import snapshot

LARGEST = 300_000


def look(
    shard: Shard, *numbers: int, routes: Sequence[str] | None = (), largest: int = LARGEST
) -> list[list[Any]]:
    """Look at notifications by their numbers."""
    names = [f"{number:032x}" for number in numbers]
    found: list[list[Any]] = shard.run(listing_read(shard.keys, names, routes, largest))
    return found


def counts(told: list[Any]) -> dict[bytes, int]:
    """Return how many routes have each letter."""
    return dict(zip(told[3::2], told[4::2], strict=True))


def test_glance__tells_of_each(shard: Shard) -> None:
    """The record, what is open, the due time moved to; nothing for what is gone."""
    shard.answers(new(1, ["push:u1", "push:u2"]), new(2, born_cancelled=True))
    moved = shard.accept(3)
    shard.run(shard.rescheduling(*moved, due=NOW + 5, mark=True))
    before = snapshot(shard)
    first, second, gone, third = look(shard, 1, 2, 9, 3)
    assert first == [new(1, ["push:u1", "push:u2"]).record, b"2", b""]
    assert second == [new(2).record, b"0", b""]
    assert gone == []
    assert third == [new(3).record, b"1", b"%d" % (NOW + 5)]
    assert snapshot(shard) == before


@pytest.mark.parametrize(
    ("state", "letter"),
    [
        ("pending", b"p"),
        ("leased", b"p"),
        ("failed", b"f"),
        ("published", b"P"),
        ("dead_letter", b"d"),
        ("expired", b"e"),
        ("cancelled", b"c"),
        ("purged", b"x"),
    ],
)
def test_glance__tells_the_statuses(state: str, letter: bytes, shard: Shard) -> None:
    """Of all routes, of those that are named, of none."""
    SEEDS[state](shard, 1)
    assert counts(look(shard, 1, routes=None)[0]) == {letter: 1}
    assert counts(look(shard, 1, routes=["email:u1", "push:u1"])[0]) == {letter: 1}
    assert counts(look(shard, 1, routes=["push:u2"])[0]) == {}
    assert counts(look(shard, 1)[0]) == {}


def test_glance__reads_nothing_that_is_too_large(shard: Shard) -> None:
    """A record or state larger than any of ours is told of without being read."""
    shard.answers(new(1, filler=5_000), new(2))
    shard.client.hset(shard.keys.notification(f"{2:032x}"), "push:u1", "1p" + "0" * 70_000)
    large, bloated = look(shard, 1, 2, routes=None, largest=4_000)
    assert large[0] == b""
    assert counts(large) == {b"p": 1}
    assert counts(bloated) == {b"?": 1}
    assert look(shard, 1, largest=0)[0][:2] == [b"", b"1"]


def test_glance__ends_early_where_much_was_read(shard: Shard) -> None:
    """Routes and bytes are bounded, but the first is always told of."""
    for number in (1, 2, 3):
        shard.accept(number, *(f"push:u{n}" for n in range(600)))
    assert len(look(shard, 1, 2, 3, routes=None)) == 2
    assert len(look(shard, 1, 2, 3)) == 3
    for number in range(4, 12):
        shard.answers(new(number, filler=250_000))
    assert len(look(shard, *range(4, 12))) == 5


@pytest.mark.parametrize("key", ["string", "list"])
def test_glance__of_another_type_is_told_as_unreadable(key: str, shard: Shard) -> None:
    """A stranger's key in the place of a notification harms no neighbour."""
    shard.accept(2)
    name = shard.keys.notification(f"{1:032x}")
    if key == "string":
        shard.client.set(name, "x")
    else:
        shard.client.rpush(name, "x")
    foreign, ours = look(shard, 1, 2, routes=None)
    assert foreign == [b"", b"", b""]
    assert counts(ours) == {b"p": 1}


def test_glance__of_what_is_damaged(shard: Shard) -> None:
    """A hash without a record, or with states of nobody's, is told as far as it can be read."""
    key = shard.hash_of(shard.accept(1, "push:u1", "push:u2", "push:u3")[0])
    states = {"push:u1": "", "push:u2": b"\xff", "push:u3": "3p"}
    shard.client.hset(key, mapping=states)  # type: ignore[arg-type]  # any bytes will do
    shard.client.hdel(key, "record")
    assert look(shard, 1, routes=None) == [[b"", b"3", b"", b"?", 2]]


def test_glance__passes_a_hash_over_that_none_of_ours_is_like(shard: Shard) -> None:
    """A million fields are not gone through."""
    key = shard.hash_of(shard.accept(1)[0])
    shard.client.hset(key, mapping={f"push:x{n}": "1p" for n in range(5_000)})
    assert counts(look(shard, 1, routes=None)[0]) == {}
