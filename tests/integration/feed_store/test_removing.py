"""What is removed: retractions, users, and items that are too old."""

from __future__ import annotations

from galaxy_notify.feed_store.listing import ListQuery
from tests.support.feed_store import FeedFixture, new_id, new_item

_TEXT = "SELECT title, body, payload FROM feed_item WHERE notification_id = %s"
_AGE = "UPDATE feed_item SET at = at - interval '10 days' WHERE user_id = %s"


def test_retract(feed: FeedFixture) -> None:
    """The item is not listed, its text is gone, and the counts of its users are corrected."""
    shared = new_id()
    feed.insert(*(new_item(user, shared) for user in ("u1", "u2", "u3")))
    feed.fill("u1", 2)
    feed.run(feed.store.mark_read("u2", [shared]))
    feed.run(feed.store.archive("u3", [shared]))
    done = feed.run(feed.store.retract(shared, None))
    assert (sorted(done.users), done.found) == (["u1", "u2", "u3"], True)
    assert done.counts == {user: feed.counts(user) for user in done.users}
    assert [feed.unread(user) for user in done.users] == [(2, 2), (0, 0), (0, 0)]
    assert shared not in {
        item.notification_id for item in feed.run(feed.store.list("u1", ListQuery())).items
    }
    assert feed.query(_TEXT, [shared]) == [("", "", b"")] * 3


def test_retract__again(feed: FeedFixture) -> None:
    """The second time names the same users, and changes nothing."""
    (one,) = feed.fill("u1", 1)
    first = feed.run(feed.store.retract(one, None))
    assert feed.run(feed.store.retract(one, None)) == first
    assert feed.unread() == (0, 0)


def test_retract__before_the_item(feed: FeedFixture) -> None:
    """An item that comes later than its retraction is not new, is not counted and has no text."""
    item = new_item("u1")
    done = feed.run(feed.store.retract(item.notification_id, ["u1", "u1", "u2"]))
    assert (sorted(done.users), done.found) == (["u1", "u2"], False)
    made = feed.insert(item, new_item("u3", item.notification_id))
    assert made.new == {("u3", item.notification_id)}
    assert feed.unread("u1") == (0, 0)
    assert feed.query(_TEXT + " AND user_id = 'u1'", [item.notification_id]) == [("", "", b"")]


def test_retract__for_some_users(feed: FeedFixture) -> None:
    """Only the users that are named lose it."""
    shared = new_id()
    feed.insert(*(new_item(user, shared) for user in ("u1", "u2")))
    assert feed.run(feed.store.retract(shared, ["u2"])).found
    assert [feed.unread(user) for user in ("u1", "u2")] == [(1, 1), (0, 0)]


def test_retract__of_what_nobody_knows(feed: FeedFixture) -> None:
    """Without users, and without rows, nothing is found and nothing is written."""
    done = feed.run(feed.store.retract(new_id(), None))
    assert done == ([], {}, False)
    assert feed.query("SELECT FROM feed_item") == []


def test_retract__for_many_users(feed: FeedFixture) -> None:
    """More users than a statement takes, given or found."""
    shared, users = new_id(), [f"u{number:04}" for number in range(1100)]
    feed.insert(*(new_item(user, shared) for user in users[:1050]))
    assert list(feed.run(feed.store.retract(shared, None)).users) == users[:1050]
    assert list(feed.run(feed.store.retract(shared, users)).users) == users
    feed.check()


def test_forget(feed: FeedFixture) -> None:
    """Every row of the user goes, whatever its state; others' stay."""
    ids = feed.fill("u1", 1203)
    feed.fill("u2", 2)
    feed.run(feed.store.mark_read("u1", ids[:100]))
    feed.run(feed.store.archive("u1", ids[50:150]))
    feed.run(feed.store.retract(ids[200], None))
    assert feed.run(feed.store.forget("u1")) == 1203
    assert feed.ids("u1") == []
    assert feed.query("SELECT user_id FROM feed_user") == [("u2",)]
    assert feed.run(feed.store.forget("u1")) == 0
    assert feed.unread("u2") == (2, 2)


def test_delete__of_what_is_too_old(feed: FeedFixture) -> None:
    """Old items go, whatever their state, and the counts with them; the others stay."""
    ids = feed.fill("u1", 1105)
    feed.run(feed.store.mark_read("u1", ids[:400]))
    feed.run(feed.store.retract(ids[450], None))
    feed.change(_AGE, ["u1"])
    kept = feed.fill("u1", 3)
    feed.fill("u2", 1)
    before = feed.counts("u1").version
    done = feed.all(feed.store.delete_older_than(9))
    assert [one.rows for one in done] == [500, 500, 105]
    assert done[-1].counts == {"u1": feed.counts("u1")}
    assert feed.counts("u1").version == before + 3
    assert feed.ids("u1") == kept
    assert feed.unread("u1") == (3, 3)
    assert feed.all(feed.store.delete_older_than(9)) == []


def test_delete__of_nothing(feed: FeedFixture) -> None:
    """0 days mean that nothing is ever too old."""
    feed.fill("u1", 2)
    assert feed.all(feed.store.delete_older_than(0)) == []
    assert feed.unread("u1") == (2, 2)


def test_delete__beside_a_lock(feed: FeedFixture) -> None:
    """A user whose lock is held keeps its items until the next run."""
    for user in ("u1", "u2"):
        feed.fill(user, 3)
        feed.change(_AGE, [user])
    with feed.postgres.client(autocommit=False) as holder:
        holder.execute("SELECT FROM feed_user WHERE user_id = 'u1' FOR UPDATE")
        assert [one.rows for one in feed.all(feed.store.delete_older_than(1))] == [3]
    assert [one.rows for one in feed.all(feed.store.delete_older_than(1))] == [3]
    assert [feed.unread(user) for user in ("u1", "u2")] == [(0, 0)] * 2
