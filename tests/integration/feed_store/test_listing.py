"""Pages of a list: their order, their filters, and where the next one begins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed_store.listing import LOOKED_AT, MOST_BYTES, ListQuery, Page
from tests.support.feed_store import FeedFixture, new_item


def _pages(feed: FeedFixture, query: ListQuery, user: str = "u1") -> Iterator[Page]:
    """Return page after page of a list."""
    while True:
        page = feed.run(feed.store.list(user, query))
        yield page
        if page.next is None:
            return
        query = query._replace(cursor=page.next)


def _ids(feed: FeedFixture, query: ListQuery) -> list[str]:
    return [item.notification_id for page in _pages(feed, query) for item in page.items]


@pytest.mark.parametrize("limit", [1, 7, 10, 11, 200])
def test_list__pages(feed: FeedFixture, limit: int) -> None:
    """Each item is on one page, newest first; no page is empty where items are left."""
    newest_first = feed.fill("u1", 20)
    feed.fill("u2", 3)
    pages = list(_pages(feed, ListQuery(limit=limit)))
    assert [item.notification_id for page in pages for item in page.items] == newest_first
    assert [len(page.items) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert 0 < len(pages[-1].items) <= limit


def test_list__what_arrives_meanwhile(feed: FeedFixture) -> None:
    """A new item stands on the first page, and shifts nothing on those behind."""
    newest_first = feed.fill("u1", 10)
    first = feed.run(feed.store.list("u1", ListQuery(limit=5)))
    feed.fill("u1", 3)
    rest = feed.run(feed.store.list("u1", ListQuery(limit=50, cursor=first.next)))
    assert [item.notification_id for item in rest.items] == newest_first[5:]


def test_list__of_items_of_the_same_time(feed: FeedFixture) -> None:
    """Rows of one moment are still on one page each."""
    feed.fill("u1", 9)
    feed.change("UPDATE feed_item SET at = timestamptz '2026-01-01 00:00:00.000001+00'")
    assert sorted(_ids(feed, ListQuery(limit=2))) == sorted(feed.ids("u1"))


@pytest.mark.parametrize(
    "query", [ListQuery(limit=200), ListQuery(limit=200, types=["game.turn.ready"])]
)
def test_list__of_large_items_has_short_pages(feed: FeedFixture, query: ListQuery) -> None:
    """Each has one item at least, and no item is on none."""
    items = [new_item(body="ü" * size) for size in (150_000, 10, 250_000, 20) for _ in range(5)]
    for item in items:
        feed.insert(item)
    pages = list(_pages(feed, query))
    found = [item.notification_id for page in pages for item in page.items]
    assert found == [item.notification_id for item in reversed(items)]
    sizes = [sum(len(item.body.encode()) for item in page.items[:-1]) for page in pages]
    assert max(sizes) <= MOST_BYTES
    assert [len(page.items) for page in pages] == [8, 8, 4]


def test_list__of_nobody(feed: FeedFixture) -> None:
    """A user without items has an empty page, with counts."""
    assert feed.run(feed.store.list("nobody", ListQuery())) == ([], None, feed.counts("nobody"))


def test_list__shelves(feed: FeedFixture) -> None:
    """Archived items are listed apart, retracted ones nowhere; unread ones may be alone."""
    ids = feed.fill("u1", 6)
    feed.run(feed.store.archive("u1", [ids[0], ids[1]]))
    feed.run(feed.store.mark_read("u1", [ids[1], ids[2]]))
    feed.run(feed.store.retract(ids[3], None))
    feed.run(feed.store.archive("u1", [ids[5]]))
    feed.run(feed.store.retract(ids[5], None))
    assert _ids(feed, ListQuery()) == [ids[2], ids[4]]
    assert _ids(feed, ListQuery(unread=True)) == [ids[4]]
    assert _ids(feed, ListQuery(archived=True)) == [ids[0], ids[1]]
    assert _ids(feed, ListQuery(archived=True, unread=True)) == [ids[0]]
    assert feed.unread() == (1, 1)


def test_list__filters(feed: FeedFixture) -> None:
    """Types and a severity choose; both together as well."""
    kinds = [("a.b", "info"), ("a.b", "critical"), ("c", "info"), ("d", "critical")]
    items = [new_item("u1", type=kind, severity=severity) for kind, severity in kinds]
    feed.insert(*items)
    ids = [item.notification_id for item in items]
    assert _ids(feed, ListQuery(types=["a.b"])) == [ids[1], ids[0]]
    assert _ids(feed, ListQuery(types=["c", "d"])) == [ids[3], ids[2]]
    assert _ids(feed, ListQuery(severity="critical")) == [ids[3], ids[1]]
    assert _ids(feed, ListQuery(types=["a.b"], severity="critical", limit=1)) == [ids[1]]
    assert _ids(feed, ListQuery(types=["unknown"])) == []


def test_list__filter_ends_after_a_thousand(feed: FeedFixture) -> None:
    """A rare type: a page ends after 1,000 rows looked at, and its cursor goes on behind them."""
    rare = new_item("u1", type="rare")
    feed.insert(rare)
    feed.fill("u1", 2 * LOOKED_AT)
    pages = list(_pages(feed, ListQuery(types=["rare"])))
    assert [len(page.items) for page in pages] == [0, 0, 1]
    assert pages[2].items[0].notification_id == rare.notification_id


def test_list__counts_are_those_of_the_moment(feed: FeedFixture) -> None:
    """A page has the counts of its user."""
    feed.fill("u1", 3)
    assert feed.run(feed.store.list("u1", ListQuery(limit=1))).counts == feed.counts("u1")


def test_list__of_unreadable_data(feed: FeedFixture) -> None:
    """Data that somebody has damaged is None; the other items are as they were."""
    ids = feed.fill("u1", 3)
    feed.change(
        "UPDATE feed_item SET payload = '\\xc1' WHERE notification_id = %s",
        [ids[1]],
    )
    data = [item.data for item in feed.run(feed.store.list("u1", ListQuery())).items]
    assert data == [{"turn": 12}, None, {"turn": 12}]


@pytest.mark.parametrize(
    "cursor", ["", "x", "AAAA", "é", "a b", "\0", "A" * 22, "_" * 22, "A" * 3000, "a.5.b"]
)
def test_list__with_an_invalid_cursor(feed: FeedFixture, cursor: str) -> None:
    """A text that no list returned is refused by name, or is a place without items."""
    try:
        page = feed.run(feed.store.list("u1", ListQuery(cursor=cursor)))
    except InvalidQuery as error:
        assert error.field == "cursor"  # noqa: PT017 - either answer is right
    else:
        assert page.items == []


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_list__with_an_invalid_limit(feed: FeedFixture, limit: int) -> None:
    """A page has 1 to 200 items."""
    with pytest.raises(InvalidQuery, match="limit: must be 1 to 200"):
        feed.run(feed.store.list("u1", ListQuery(limit=limit)))
