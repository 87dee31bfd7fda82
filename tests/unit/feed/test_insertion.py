"""Isolation: whatever Postgres refuses, all other items are inserted, in few calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_notify.errors import FeedRefused, FeedUnavailable
from galaxy_notify.feed.insertion import insert_all, key_of
from galaxy_notify.feed_store.inserting import Inserted
from galaxy_notify.model.feed import Counts, NewItem


def item(number: int) -> NewItem:
    return NewItem(f"u{number % 5}", f"{number:032x}", "t", "p", "info", "", "", b"\x80", 1)


class Store:
    """Refuses some items and holds the locks of some users, as Postgres does."""

    def __init__(self, refused: set[int], locked: set[int], *, adding: bool = False) -> None:
        self.refused = {f"{number:032x}" for number in refused}
        self.locked = {f"u{number}" for number in locked}
        self.adding = adding
        self.rows: set[tuple[str, str]] = set()
        self.calls = 0

    async def insert(
        self, items: Sequence[NewItem], *, lock_timeout_ms: int | None = 500
    ) -> Inserted:
        self.calls += 1
        if lock_timeout_ms is not None and self.adding:
            raise FeedUnavailable("locked", code="locked")
        if any(one.notification_id in self.refused for one in items):
            raise FeedRefused("", "no")
        users = {one.user_id for one in items}
        blocked = users & self.locked if lock_timeout_ms is not None else set()
        mine = {key_of(one) for one in items if one.user_id not in blocked}
        new = mine - self.rows
        self.rows |= mine
        counts = {
            user: Counts(n := sum(row[0] == user for row in self.rows), n, self.calls, 1)
            for user in users - blocked
        }
        return Inserted(frozenset(new), counts, frozenset(blocked))


@given(
    st.integers(1, 40),
    st.sets(st.integers(0, 39)),
    st.sets(st.integers(0, 4)),
    st.booleans(),
)
def test_insert_all__inserts_all_that_can_be(
    count: int, refused: set[int], locked: set[int], adding: bool
) -> None:
    """Rows, receipts and counts are those of a store that takes one item after the other."""
    store = Store(refused, locked, adding=adding)
    items = [item(number) for number in range(count)]
    done = asyncio.run(insert_all(cast("Any", store), items))
    wanted = {key_of(one) for one in items if one.notification_id not in store.refused}
    assert store.rows == done.new == wanted
    assert done.refused.keys() == {key_of(one) for one in items} - wanted
    for user, _ in wanted:
        assert done.counts[user].unread == sum(row[0] == user for row in wanted)
    again = asyncio.run(insert_all(cast("Any", store), items))
    assert again.new == frozenset()


def test_insert_all__asks_few_times_for_one_bad_item() -> None:
    """Halving finds it: 500 items with one that is refused are some twenty calls."""
    store = Store({321}, set())
    asyncio.run(insert_all(cast("Any", store), [item(number) for number in range(500)]))
    assert store.calls < 25


def test_insert_all__passes_an_outage_on() -> None:
    """What is unknown is not taken for refused."""

    class Away(Store):
        async def insert(
            self, items: Sequence[NewItem], *, lock_timeout_ms: int | None = 500
        ) -> Inserted:
            raise FeedUnavailable("away", code="timeout")

    with pytest.raises(FeedUnavailable, match="away"):
        asyncio.run(insert_all(cast("Any", Away(set(), set())), [item(1)]))
