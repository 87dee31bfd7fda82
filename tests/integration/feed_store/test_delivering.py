"""Channels that are added to items: each once, without any change of the counts."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_notify.feed_store.listing import ListQuery
from galaxy_notify.model.feed import DeliveredVia
from tests.support.feed_store import FeedFixture, new_id, new_item

_NOTHING: frozenset[tuple[str, str]] = frozenset()


def _via(feed: FeedFixture, user: str = "u1") -> dict[str, Sequence[str]]:
    """Return the channels of each item in the list of a user."""
    page = feed.run(feed.store.list(user, ListQuery()))
    return {item.notification_id: item.delivered_via for item in page.items}


def _add(feed: FeedFixture, *given: DeliveredVia) -> frozenset[str]:
    return feed.run(feed.store.add_delivered(given))


def test_add__each_channel_once(feed: FeedFixture) -> None:
    """However often, also twice in a call; counts and version stay."""
    first, second = feed.fill("u1", 2)
    counts = feed.counts("u1")
    email, hook = (DeliveredVia("u1", first, channel) for channel in ("email", "webhook"))
    assert _add(feed, email, email) == frozenset()
    assert _via(feed) == {first: ["email"], second: []}
    assert _add(feed, hook, email, DeliveredVia("u1", second, "email")) == frozenset()
    assert _add(feed, hook) == frozenset()
    assert _via(feed) == {first: ["email", "webhook"], second: ["email"]}
    assert feed.counts("u1") == counts
    feed.check()


def test_find__what_is_there_and_lacks_a_channel(feed: FeedFixture) -> None:
    """An item of another user is not the item; what names the channel already lacks nothing."""
    first, second = feed.fill("u1", 2)
    _add(feed, DeliveredVia("u1", first, "email"))
    given = [
        DeliveredVia("u1", first, "email"),
        DeliveredVia("u1", second, "email"),
        DeliveredVia("u2", first, "email"),
    ]
    found = feed.run(feed.store.find_delivered(given))
    assert found == (frozenset({("u2", first)}), frozenset({("u1", second)}))
    more = [given[0], given[0]._replace(channel="webhook")]
    assert feed.run(feed.store.find_delivered(more)).lacking == {("u1", first)}


def test_items__that_are_read_or_archived(feed: FeedFixture) -> None:
    """They get the channel too, and stay as they are."""
    (read,) = feed.fill("u1", 1)
    feed.run(feed.store.mark_read("u1", [read]))
    feed.run(feed.store.archive("u1", [read]))
    counts = feed.counts("u1")
    _add(feed, DeliveredVia("u1", read, "email"))
    (item,) = feed.run(feed.store.list("u1", ListQuery(archived=True))).items
    assert item.delivered_via == ["email"]
    assert feed.counts("u1") == counts


def test_items__that_are_retracted(feed: FeedFixture) -> None:
    """They name no channel, neither of before nor of afterwards, and nothing waits for them."""
    (gone,) = feed.fill("u1", 1)
    given = DeliveredVia("u1", gone, "email")
    _add(feed, given)
    feed.run(feed.store.retract(gone, ["u1", "u2"]))
    both = [given, given._replace(user_id="u2")]
    assert feed.run(feed.store.find_delivered(both)) == (_NOTHING, _NOTHING)
    assert _add(feed, *both) == frozenset()
    with feed.postgres.client() as client:
        rows = client.execute("SELECT DISTINCT delivered_via FROM feed_item").fetchall()
    assert rows == [([],)]


def test_users__that_are_locked(feed: FeedFixture) -> None:
    """They are left out and named, without a wait; the others get their channels."""
    shared = new_id()
    feed.insert(new_item("held", shared), new_item("u1", shared))
    given = [DeliveredVia(user, shared, "email") for user in ("held", "u1", "nobody")]
    with feed.postgres.client(autocommit=False) as holder:
        holder.execute("SELECT FROM feed_user WHERE user_id = 'held' FOR UPDATE")
        assert _add(feed, *given) == {"held", "nobody"}
        found = feed.run(feed.store.find_delivered(given))
        assert found == (frozenset({("nobody", shared)}), frozenset({("held", shared)}))
    assert _add(feed, given[0]) == frozenset()
    assert _via(feed, "held") == _via(feed, "u1") == {shared: ["email"]}


def test_many__in_one_call(feed: FeedFixture) -> None:
    """Five hundred, of as many users and with items that are not there."""
    shared = new_id()
    users = [f"u{number}" for number in range(500)]
    feed.insert(*(new_item(user, shared) for user in users[::2]))
    given = [DeliveredVia(user, shared, "email") for user in users]
    found = feed.run(feed.store.find_delivered(given))
    assert {user for user, _ in found.missing} == set(users[1::2])
    assert {user for user, _ in found.lacking} == set(users[::2])
    _add(feed, *(one for one in given if one.user_id in users[::2]))
    assert feed.run(feed.store.find_delivered(given)).lacking == frozenset()
