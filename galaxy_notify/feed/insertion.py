"""Items on their way into Postgres: those that it refuses are found, and stop no others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from galaxy_notify.errors import FeedRefused, FeedUnavailable
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem

#: A user, and a notification of the user.
Key: TypeAlias = tuple[str, str]

#: Beside others, an item waits for this long for the lock of its user.
_LOCK_MS: Final = 500


class Insertion(NamedTuple):
    """What became of items.

    *new* came into the feed. *counts* are those of the users whose feed changed. *refused* are
    items that Postgres does not store, with the reason.
    """

    new: frozenset[Key] = frozenset()
    counts: Mapping[str, Counts] = {}
    refused: Mapping[Key, FeedRefused] = {}

    def with_more(self, other: Insertion) -> Insertion:
        """Return what became of these items and of others."""
        return Insertion(
            self.new | other.new, {**self.counts, **other.counts}, {**self.refused, **other.refused}
        )


def key_of(item: NewItem) -> Key:
    """Return what an item is known by: a feed has it once."""
    return item.user_id, item.notification_id


async def insert_all(store: FeedStore, items: Sequence[NewItem]) -> Insertion:
    """Insert items; safe to repeat.

    Items of a user whose lock is held follow alone, so they delay no other user. Raises
    `FeedUnavailable` or `Misconfigured`: then any of them may be written.
    """
    return await _inserted(store, items, _LOCK_MS)


async def _inserted(
    store: FeedStore, items: Sequence[NewItem], lock_timeout_ms: int | None
) -> Insertion:
    try:
        found = await store.insert(items, lock_timeout_ms=lock_timeout_ms)
    except FeedRefused as error:
        if len(items) == 1:
            return Insertion(refused={key_of(items[0]): error})
        half = len(items) // 2
        first = await _inserted(store, items[:half], lock_timeout_ms)
        return first.with_more(await _inserted(store, items[half:], lock_timeout_ms))
    except FeedUnavailable as error:
        # Another transaction adds the same user, and does not end.
        if error.code != LOCKED or lock_timeout_ms is None:
            raise
        return await _each_alone(store, items, {item.user_id for item in items})
    done = Insertion(frozenset(found.new), found.counts)
    return done.with_more(await _each_alone(store, items, found.blocked))


async def _each_alone(
    store: FeedStore, items: Sequence[NewItem], users: Collection[str]
) -> Insertion:
    """Insert the items of some users, each user by itself, and wait for its lock."""
    done = Insertion()
    for user in sorted(users):
        own = [item for item in items if item.user_id == user]
        done = done.with_more(await _inserted(store, own, None))
    return done
