"""Items that are inserted: once, counted with the same statement, without stopping neighbours."""

from __future__ import annotations

import pytest

from galaxy_notify.errors import FeedRefused
from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.model.feed import Counts, FeedItem, NewItem
from tests.support.feed_store import FeedFixture, new_id, new_item

_LOCK = "SELECT FROM feed_user WHERE user_id = %s FOR UPDATE"
REFUSED = {
    "nul": new_item("u1", title="a\0b"),
    "nul in user": new_item("u1\0"),
    "surrogate": new_item("u1", body="half \ud800 a pair"),
    "id": new_item("u1", "x" * 3000),
    "user": new_item("y" * 3000),
    "no user": new_item(""),
    "body": new_item("u1", body="b" * (1 << 20)),
    "type": new_item("u1", type="t" * (1 << 20)),
    "producer": new_item("u1", producer="p" * (1 << 20)),
    "severity": new_item("u1", severity="s" * (1 << 20)),
    "payload": new_item("u1", payload=b"p" * (1 << 20)),
    "year": new_item("u1", created_at_ms=1 << 62),
    "number": new_item("u1", created_at_ms=1 << 70),
}


def test_insert__once(feed: FeedFixture) -> None:
    """An item is new the first time, and counted; the second time nothing changes."""
    item = new_item("u1")
    first = feed.insert(item)
    assert first.new == {("u1", item.notification_id)}
    assert first.counts == {"u1": feed.counts("u1")}
    again = feed.insert(item)
    assert (again.new, again.blocked) == (frozenset(), frozenset())
    assert again.counts == first.counts
    assert feed.unread("u1") == (1, 1)


def test_insert__twice_in_one_call(feed: FeedFixture) -> None:
    """Of an item that a call has twice, one is new."""
    item = new_item("u1")
    assert feed.insert(item, item._replace(title="again")).new == {("u1", item.notification_id)}
    assert feed.unread("u1") == (1, 1)


def test_insert__for_many_users(feed: FeedFixture) -> None:
    """A notification has a row for each of its users; each user has counts of its own."""
    shared = new_id()
    users = [f"u{number}" for number in range(1200)]
    made = feed.insert(*(new_item(user, shared) for user in users), new_item("u7"))
    assert len(made.new) == len(users) + 1
    assert {user: counts.unread for user, counts in made.counts.items()} == {
        **dict.fromkeys(users, 1),
        "u7": 2,
    }
    feed.check()


def test_insert__nothing(feed: FeedFixture) -> None:
    """Without items nothing is sent."""
    assert feed.insert() == (frozenset(), {}, frozenset())


def test_insert__keeps_all_fields(feed: FeedFixture) -> None:
    """What was inserted is listed as it was."""
    item = new_item("u1", title="Ünicode ✓", severity="critical", payload=b"\x82\xa1a\x01\xa1b\xc0")
    feed.insert(item)
    (found,) = feed.run(feed.store.list("u1", ListQuery())).items
    assert found == FeedItem(
        id=found.id,
        **{name: getattr(item, name) for name in FeedItem._fields if name in NewItem._fields},
        data={"a": 1, "b": None},
        at_ms=found.at_ms,
        seen_at_ms=None,
        read_at_ms=None,
        archived_at_ms=None,
        delivered_via=[],
    )
    assert abs(found.at_ms - feed.run(feed.store.now_ms())) < 3_600_000


def test_insert__orders_a_batch_as_it_was_given(feed: FeedFixture) -> None:
    """The last item of a batch is the newest."""
    newest_first = feed.fill("u1", 20)
    assert feed.ids("u1") == newest_first


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_insert__of_what_cannot_be_stored(feed: FeedFixture, refused: NewItem) -> None:
    """It is refused without its contents; nothing of its batch is written, and the next is."""
    neighbour = new_item("u2")
    with pytest.raises(FeedRefused) as caught:
        feed.insert(neighbour, refused)
    assert len(str(caught.value)) < 400
    assert feed.counts("u2")[:3] == (0, 0, 0)
    assert feed.insert(neighbour).new == {("u2", neighbour.notification_id)}
    feed.check()


def test_insert__beside_a_lock(feed: FeedFixture) -> None:
    """A user whose lock is held is left out and named; the others' items go in, also new users'."""
    feed.insert(new_item("held"), new_item("u1"))
    items = [new_item("held"), new_item("u1"), new_item("never seen")]
    with feed.postgres.client(autocommit=False) as holder:
        holder.execute(_LOCK, ["held"])
        made = feed.insert(*items, lock_timeout_ms=50)
        assert made.blocked == {"held"}
        assert {user for user, _ in made.new} == {"u1", "never seen"}
        assert made.counts.keys() == {"u1", "never seen"}
        alone = feed.insert(items[0], lock_timeout_ms=50)
        assert alone.blocked == {"held"}
        assert not alone.new
    assert feed.insert(items[0]).new == {("held", items[0].notification_id)}
    assert feed.unread("held") == (2, 2)
    feed.check()


def test_insert__beside_a_lock_with_short_statements(feed: FeedFixture) -> None:
    """Where statements may take less than a lock may, a lock is still no outage."""
    feed.insert(new_item("held"))
    with feed.impatient(6000) as store, feed.postgres.client(autocommit=False) as client:
        client.execute("SELECT FROM feed_user WHERE user_id = 'held' FOR UPDATE")
        items = [new_item("held"), new_item("free")]
        made = feed.run(store.insert(items, lock_timeout_ms=60_000))
        assert made.blocked == {"held"}
        assert made.counts.keys() == {"free"}


def test_insert__beside_a_user_who_is_just_added(feed: FeedFixture) -> None:
    """A new user whose row another transaction has not committed yet holds up nobody else."""
    feed.insert(new_item("u1"))
    items = [new_item("added"), new_item("u1"), new_item("u2"), new_item("a1")]
    with feed.postgres.client(autocommit=False) as holder:
        holder.execute("INSERT INTO feed_user (user_id) VALUES ('added')")
        made = feed.insert(*items, lock_timeout_ms=50)
        assert made.blocked == {"added"}
        assert {user for user, _ in made.new} == {"u1", "u2", "a1"}
    assert feed.insert(*items).new == {("added", items[0].notification_id)}
    feed.check()


def test_insert__of_much_at_once(feed: FeedFixture) -> None:
    """More bytes than one statement takes are divided; every item is stored."""
    items = [new_item(f"u{number}", body="b" * 500_000) for number in range(20)]
    assert len(feed.insert(*items).new) == 20
    feed.check()


def test_counts__of_nobody(feed: FeedFixture) -> None:
    """A user without rows has counts of 0, in the epoch of the database."""
    assert feed.counts("nobody") == Counts(0, 0, 0, feed.run(feed.store.epoch()))


def test_version__after_a_user_was_forgotten(feed: FeedFixture) -> None:
    """Versions of a user grow, also over a time in which the feed knew nothing of it."""
    before = feed.insert(new_item("u1")).counts["u1"].version
    feed.run(feed.store.forget("u1"))
    assert feed.counts("u1").version == 0
    assert feed.insert(new_item("u1")).counts["u1"].version > before


def test_epoch__grows(feed: FeedFixture) -> None:
    """A restored database gets an epoch above the one before, also if the clock went back."""
    feed.change("UPDATE feed_epoch SET epoch = epoch + 10000000")
    before = feed.run(feed.store.epoch())
    after = feed.run(feed.store.restored())
    assert after == before + 1
    assert feed.counts().epoch == after
