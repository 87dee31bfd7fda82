"""Items that are marked: what counts as unread and unseen, and when a version grows."""

from __future__ import annotations

import pytest

from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.feed_store.store import FeedStore
from tests.support.feed_store import FeedFixture, new_id, new_item

MARKS = ["mark_read", "mark_unread", "mark_seen", "archive"]
ALL = ["mark_all_read", "mark_all_seen", "archive_all"]


def _mark(feed: FeedFixture, name: str, *ids: str, user: str = "u1") -> tuple[int, int]:
    """Mark some items; return the counts, which are also those of the rows."""
    counts = feed.run(getattr(feed.store, name)(user, ids))
    assert counts == feed.counts(user)
    feed.check()
    return counts.unread, counts.unseen


def _mark_all(feed: FeedFixture, name: str, until: str | None = None) -> tuple[int, int]:
    counts = feed.run(getattr(feed.store, name)("u1", until))
    assert counts == feed.counts("u1")
    feed.check()
    return counts.unread, counts.unseen


def _times(feed: FeedFixture, one: str) -> tuple[int | None, int | None, int | None]:
    items = [
        item
        for archived in (False, True)
        for item in feed.run(feed.store.list("u1", ListQuery(archived=archived))).items
        if item.notification_id == one
    ]
    return items[0].seen_at_ms, items[0].read_at_ms, items[0].archived_at_ms


def test_mark__what_it_counts(feed: FeedFixture) -> None:
    """Read is also seen; what was seen stays seen; what is archived counts as neither."""
    ids = feed.fill("u1", 5)
    assert _mark(feed, "mark_seen", ids[0]) == (5, 4)
    assert _mark(feed, "mark_read", ids[0], ids[1]) == (3, 3)
    assert _mark(feed, "mark_unread", ids[1]) == (4, 3)
    assert _mark(feed, "archive", ids[1], ids[2]) == (2, 2)
    # What is archived keeps what it was, and counts no more whatever becomes of it.
    assert _mark(feed, "mark_read", ids[2]) == (2, 2)
    assert _mark(feed, "mark_unread", ids[2]) == (2, 2)


@pytest.mark.parametrize("name", MARKS)
def test_mark__again(feed: FeedFixture, name: str) -> None:
    """The version grows where something changed, and only then; the first time stays."""
    ids = feed.fill("u1", 2)
    if name == "mark_unread":
        _mark(feed, "mark_read", *ids)
    before = feed.counts()
    _mark(feed, name, *ids)
    first, times = feed.counts(), [_times(feed, one) for one in ids]
    assert first.version == before.version + 1
    _mark(feed, name, *ids)
    assert (feed.counts(), [_times(feed, one) for one in ids]) == (first, times)


@pytest.mark.parametrize("name", MARKS)
def test_mark__of_what_is_not_there(feed: FeedFixture, name: str) -> None:
    """Unknown ids, other users' and retracted ones change nothing."""
    mine, theirs = feed.fill("u1", 2), feed.fill("u2", 1)
    feed.run(feed.store.retract(mine[0], None))
    before = feed.counts("u1"), feed.counts("u2")
    _mark(feed, name, new_id(), theirs[0], mine[0], "9" * 18, "x" * 3000, "", "a\0", "\ud800")
    _mark(feed, name, mine[0], user="nobody")
    assert (feed.counts("u1"), feed.counts("u2")) == before


def test_mark__by_the_id_of_a_row(feed: FeedFixture) -> None:
    """The id of a row names it as well, to its own user only."""
    feed.fill("u1", 2)
    row = feed.run(feed.store.list("u1", ListQuery())).items[0].id
    assert _mark(feed, "mark_read", str(row), user="u2") == (0, 0)
    assert _mark(feed, "mark_read", str(row)) == (1, 1)


@pytest.mark.parametrize("name", ALL)
def test_mark_all(feed: FeedFixture, name: str) -> None:
    """All are marked, over several statements; a second time changes nothing."""
    feed.fill("u1", 1234)
    feed.fill("u2", 3)
    assert _mark_all(feed, name) == {"mark_all_seen": (1234, 0)}.get(name, (0, 0))
    before = feed.counts()
    _mark_all(feed, name)
    assert feed.counts() == before
    assert feed.unread("u2") == (3, 3)


@pytest.mark.parametrize("name", ALL)
def test_mark_all__until(feed: FeedFixture, name: str) -> None:
    """The named item and all before it are marked, newer ones are not."""
    newest_first = feed.fill("u1", 10)
    seen_only = name == "mark_all_seen"
    assert _mark_all(feed, name, newest_first[3]) == (10 if seen_only else 3, 3)
    _mark_all(feed, name, newest_first[0])
    assert feed.unread() == (10 if seen_only else 0, 0)


@pytest.mark.parametrize("name", ALL)
def test_mark_all__until_what_is_not_there(feed: FeedFixture, name: str) -> None:
    """An id that the user does not have changes nothing; a retracted one keeps its place."""
    newest_first, theirs = feed.fill("u1", 4), feed.fill("u2", 1)
    for unknown in (new_id(), theirs[0], "a\0", "\ud800"):
        assert _mark_all(feed, name, unknown) == (4, 4)
    feed.run(feed.store.retract(newest_first[1], None))
    _mark_all(feed, name, newest_first[1])
    assert feed.unread()[1] == 1


@pytest.mark.parametrize("name", ALL)
def test_mark_all__for_nobody(feed: FeedFixture, name: str) -> None:
    """Nothing is there to be marked."""
    assert _mark_all(feed, name) == (0, 0)


def test_mark_all_unread__takes_back_what_was_read(feed: FeedFixture) -> None:
    """All that is listed, or up to an item; what was seen stays seen, what is archived is left."""
    ids = feed.fill("u1", 1200)
    _mark(feed, "archive", ids[3])
    _mark_all(feed, "mark_all_read")
    assert _mark_all(feed, "mark_all_unread", ids[1000]) == (200, 0)
    assert _mark_all(feed, "mark_all_unread") == (1199, 0)
    before = feed.counts()
    assert _mark_all(feed, "mark_all_unread") == (1199, 0)
    assert feed.counts() == before


def test_has__finds_items_of_its_user_alone(feed: FeedFixture) -> None:
    """By either id; also an archived or a retracted one, and nobody else's."""
    (own,), (theirs,) = feed.fill("u1", 1), feed.fill("u2", 1)
    rows = {
        user: str(feed.run(feed.store.list(user, ListQuery())).items[0].id) for user in ("u1", "u2")
    }
    for name in (own, rows["u1"]):
        assert feed.run(feed.store.has("u1", name))
        assert not feed.run(feed.store.has("u2", name))
    for name in (theirs, rows["u2"], new_id(), "9" * 18, "9" * 40, "", "a\0", "\ud800"):
        assert not feed.run(feed.store.has("u1", name))
    _mark(feed, "archive", own)
    assert feed.run(feed.store.has("u1", own))
    feed.run(feed.store.retract(own, None))
    assert feed.run(feed.store.has("u1", own))


def test_mark_all_seen__finds_them_between_seen_ones(feed: FeedFixture) -> None:
    """Items of any age are found, wherever others were seen."""
    ids = feed.fill("u1", 1600)
    _mark(feed, "mark_seen", *ids[100:600])
    assert _mark_all(feed, "mark_all_seen") == (1600, 0)


def test_methods__are_what_the_tests_know() -> None:
    """No way to mark is without a test."""
    names = {name for name in vars(FeedStore) if name.startswith(("mark", "archive"))}
    assert names == {*MARKS, *ALL, "mark_all_unread"}


def test_was_read__only_what_the_user_has_read(feed: FeedFixture) -> None:
    """Seen or archived is not read; what is not there, or another user's, was not read."""
    ids = feed.fill("u1", 6)
    feed.insert(new_item("u2", ids[0]), new_item("u2", ids[5]))
    _mark(feed, "mark_read", ids[0], ids[1], ids[2], ids[3])
    _mark(feed, "mark_unread", ids[1])
    _mark(feed, "archive", ids[2], ids[4])
    _mark(feed, "mark_seen", ids[5])
    _mark(feed, "mark_read", ids[5], user="u2")
    feed.run(feed.store.retract(ids[3], ["u1"]))
    asked = [*ids, ids[0], new_id(), "no id", "\0", "\ud800"]
    assert feed.run(feed.store.was_read("u1", asked)) == {ids[0], ids[2], ids[3]}
    assert feed.run(feed.store.was_read("u2", asked)) == {ids[5]}
    for nobody in ("u3", "", "u\0"):
        assert feed.run(feed.store.was_read(nobody, asked)) == frozenset()
    assert feed.run(feed.store.was_read("u1", [])) == frozenset()
