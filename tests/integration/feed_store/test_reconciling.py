"""Counts that are wrong, and counts that have changed."""

from __future__ import annotations

from galaxy_notify.feed_store.reconciling import Changed
from tests.support.feed_store import FeedFixture, new_item

_WRONG = "UPDATE feed_user SET unread = unread + 5, unseen = 0 WHERE user_id = %s"


def test_reconcile__without_drift(feed: FeedFixture) -> None:
    """Nothing is yielded where the counts are right."""
    feed.insert(*(new_item(f"u{number}") for number in range(250)))
    assert feed.all(feed.store.reconcile()) == []
    assert feed.all(feed.store.reconcile(["u1", "nobody"], fix=True)) == []


def test_reconcile__finds_and_corrects(feed: FeedFixture) -> None:
    """Wrong counts are found on each page; only with fix are they corrected, as a new version."""
    feed.insert(*(new_item(f"u{number:03}") for number in range(350)))
    wrong = ["u000", "u123", "u349"]
    for user in wrong:
        feed.change(_WRONG, [user])
    found = feed.all(feed.store.reconcile())
    assert [drift.user for drift in found] == wrong
    assert {(drift.stored[:2], drift.real[:2]) for drift in found} == {((6, 0), (1, 1))}
    assert feed.all(feed.store.reconcile(["u123", "u001", "u123"])) == [found[1]]
    mended = feed.all(feed.store.reconcile(fix=True))
    assert [drift.real for drift in mended] == [feed.counts(user) for user in wrong]
    assert [
        one.real.version - two.real.version for one, two in zip(mended, found, strict=True)
    ] == [1] * 3
    assert feed.all(feed.store.reconcile()) == []
    feed.check()


def test_reconcile__of_lost_counts(feed: FeedFixture) -> None:
    """Users whose counts are lost are found by their items."""
    feed.insert(*(new_item(f"u{number:03}") for number in range(130)))
    feed.change("DELETE FROM feed_user WHERE user_id <> 'u050'")
    found = feed.all(feed.store.reconcile(fix=True))
    assert [drift.user for drift in found] == [f"u{n:03}" for n in range(130) if n != 50]
    feed.check()


def test_changed_since(feed: FeedFixture) -> None:
    """Users that changed since a time are read in pages, with their counts and the time."""
    feed.insert(*(new_item(f"u{number}") for number in range(9)))
    feed.change("UPDATE feed_user SET changed_at = changed_at - interval '1 hour'")
    since = feed.run(feed.store.now_ms())
    feed.fill("u3", 1)
    feed.fill("u5", 1)
    feed.run(feed.store.mark_read("u7", feed.ids("u7")))
    first = feed.run(feed.store.changed_since(since, limit=2))
    rest = feed.run(feed.store.changed_since(since, first[-1].user, limit=2))
    assert [one.user for one in (*first, *rest)] == ["u3", "u5", "u7"]
    assert first[0] == Changed("u3", feed.counts("u3"), first[0].changed_at_ms)
    assert first[0].changed_at_ms >= since
    assert feed.run(feed.store.changed_since(since, "u7")) == []
