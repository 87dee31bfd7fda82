"""delist: what is listed goes once none of what it names is there any more."""

from __future__ import annotations

from typing import Any

import pytest

from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state import calls
from tests.scripts.support.invariants import assert_counted
from tests.scripts.support.shard import Shard, new


def delist(shard: Shard, start: str = "-", count: int = 100) -> tuple[str, int, int]:
    """Go through a page and return where to go on, how many were looked at, how many went."""
    following, looked, gone = shard.run(calls.listing_trim(shard.keys, start, count))
    return following.decode(), looked, gone


def listed(shard: Shard) -> list[list[int]]:
    """Return the numbers of the notifications in each entry of the list."""
    entries: Any = shard.client.xrange(shard.keys.accepted)
    return [[int(name, 16) for name in fields[b"ids"].split()] for _, fields in entries]


def forget(shard: Shard, *numbers: int) -> None:
    """Let notifications expire."""
    for number in numbers:
        shard.client.delete(shard.keys.notification(f"{number:032x}"))


def test_delist__removes_what_is_gone(shard: Shard) -> None:
    """An entry goes with the last notification that it names, whatever the order."""
    shard.answers(new(1), new(2))
    shard.accept(3)
    shard.accept(4)
    forget(shard, 2, 3)
    assert delist(shard) == ("", 3, 1)
    assert listed(shard) == [[1, 2], [4]]
    forget(shard, 1)
    assert delist(shard) == ("", 2, 1)
    assert listed(shard) == [[4]]


def test_delist__of_what_is_there_changes_nothing(shard: Shard) -> None:
    """What waits and what is still kept stays listed, and no route is touched."""
    (member,) = shard.accept(1)
    shard.cancel(member)
    shard.accept(2, due=shard.now + 9_000)
    assert delist(shard) == ("", 2, 0)
    assert listed(shard) == [[1], [2]]
    assert_counted(shard)


def test_delist__goes_on_page_by_page(shard: Shard) -> None:
    """Every entry is looked at once in a round, though others go meanwhile."""
    for number in range(1, 101):
        shard.accept(number)
    forget(shard, *range(2, 101, 2))
    start, seen, gone = "-", 0, 0
    while start:
        start, looked, went = delist(shard, start, 16)
        seen, gone = seen + looked, gone + went
    assert (seen, gone) == (100, 50)
    assert listed(shard) == [[number] for number in range(1, 100, 2)]


def test_delist__takes_a_beginning_away_as_a_whole(shard: Shard) -> None:
    """Where all of the first page is gone the next one begins at the beginning again."""
    for number in range(1, 51):
        shard.accept(number)
    forget(shard, *range(1, 41))
    assert delist(shard, "-", 32) == ("-", 32, 32)
    assert delist(shard, "-", 32) == ("", 18, 8)
    assert listed(shard) == [[number] for number in range(41, 51)]
    forget(shard, *range(41, 51))
    assert delist(shard) == ("", 10, 10)
    assert listed(shard) == []


def test_delist__of_a_last_id_removes_it(shard: Shard) -> None:
    """A stranger's entry with the greatest id that there is goes like any other."""
    shard.client.xadd(shard.keys.accepted, {"n": 1}, id=f"{2**64 - 1}-{2**64 - 1}")
    assert delist(shard) == ("", 1, 1)
    assert shard.client.xlen(shard.keys.accepted) == 0


def test_delist__of_nothing(shard: Shard) -> None:
    """Where nothing is listed, nothing comes about."""
    assert delist(shard) == ("", 0, 0)
    assert delist(shard, "(5-1") == ("", 0, 0)
    assert not shard.client.exists(shard.keys.accepted)


def test_delist__ends_early_where_many_are_named(shard: Shard) -> None:
    """One call looks for a bounded number of notifications."""
    for first in range(1, 4_000, 100):
        shard.answers(*(new(first + n) for n in range(100)))
    forget(shard, *range(1, 4_001))
    start, looked, gone = delist(shard, "-", 1000)
    assert looked == gone == 16
    assert delist(shard, start, 1000)[1] == 16


@pytest.mark.parametrize(
    "fields",
    [
        {"n": "1"},
        {"ids": ""},
        {"ids": " " * 99},
        {"ids": "x" * 100_000},
        {"ids": "a " * 5_000},
        {"ids": b"\xff\x00\n"},
        {"other": "1", "ids": f"{9:032x}"},
    ],
    ids=["none", "empty", "blank", "long", "many", "bytes", "gone"],
)
def test_delist__removes_what_is_none_of_ours(fields: dict[str, str], shard: Shard) -> None:
    """A stranger's entry names nothing that is there, and harms no other."""
    shard.accept(1)
    shard.client.xadd(shard.keys.accepted, fields)  # type: ignore[arg-type]  # any bytes will do
    shard.accept(2)
    assert delist(shard) == ("", 3, 1)
    assert listed(shard) == [[1], [2]]


def test_delist__keeps_what_names_something_in_whatever_form(shard: Shard) -> None:
    """An entry that names a notification of ours stays, also with other fields and other names."""
    shard.accept(1)
    shard.client.xtrim(shard.keys.accepted, maxlen=0, approximate=False)
    shard.client.xadd(shard.keys.accepted, {"by": "x", "ids": f"nobody {1:032x}"})
    assert delist(shard) == ("", 1, 0)


def test_delist__of_another_type_is_refused(shard: Shard) -> None:
    """A key that holds no list is left as it is."""
    shard.client.set(shard.keys.accepted, "foreign")
    with pytest.raises(RedisFault, match="WRONGTYPE"):
        delist(shard)
    assert shard.client.get(shard.keys.accepted) == b"foreign"


def test_delist__at_maxmemory(shard: Shard) -> None:
    """It makes room where there is none."""
    shard.accept(1)
    forget(shard, 1)
    shard.client.config_set("maxmemory", "1")
    try:
        assert delist(shard) == ("", 1, 1)
    finally:
        shard.client.config_set("maxmemory", "0")
