"""The rows of the feed: what may be done to them, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from galaxy_notify.feed_store import (
    delivering,
    inserting,
    listing,
    marking,
    migrations,
    reconciling,
    removing,
)
from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.delivering import FoundVia
from galaxy_notify.feed_store.inserting import Inserted
from galaxy_notify.feed_store.listing import ListQuery, Page
from galaxy_notify.feed_store.reconciling import Changed, Drift
from galaxy_notify.feed_store.removing import Deleted, Retracted
from galaxy_notify.feed_store.statements import is_storable, statement
from galaxy_notify.model.feed import Counts, DeliveredVia, NewItem
from galaxy_notify.settings.feed import FeedSettings


class FeedStore:
    """The feed of all users in one Postgres, for one event loop.

    It connects when it is first used. Every call is bounded in time, is one transaction where
    nothing else is said, and may be repeated. Calls raise `FeedUnavailable` while Postgres is away
    (whether a change took effect is then unknown) and `Misconfigured` where it refuses this user,
    lacks the schema or a right.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def from_settings(cls, feed: FeedSettings, url: str | None = None) -> FeedStore:
        """Return the store at ``feed.url``, or at *url* where that is ``embedded``."""
        return cls(Database(feed, url))

    async def close(self) -> None:
        """Close the connections, behind calls that still run; repeatable."""
        await self._database.close()

    async def ready(self) -> None:
        """Return after a round trip if the schema is this version's.

        Raises `ConfigurationError` if it is another one.
        """
        await migrations.check(self._database)

    async def epoch(self) -> int:
        """Return the epoch of all counts."""
        return (await self.counts("")).epoch

    async def restored(self) -> int:
        """Begin another epoch, after the database was restored, and return it."""

        async def draw(connection: Connection) -> int:
            cursor = await connection.execute(statement("epoch_draw"))
            return int((await cursor.fetchone() or [0])[0])

        return await self._database.run(draw)

    async def insert(
        self, items: Sequence[NewItem], *, lock_timeout_ms: int | None = 500
    ) -> Inserted:
        """Insert items; those that are there already, also retracted ones, change nothing.

        Each 500 of them are one transaction. Users whose lock another transaction holds for longer
        than *lock_timeout_ms* are left out and reported, to be tried by themselves. Raises
        `FeedRefused` where an item cannot be stored: none of its transaction was written.
        """
        return await inserting.insert(self._database, items, lock_timeout_ms)

    async def counts(self, user: str) -> Counts:
        """Return the counts of a user; all but the epoch are 0 where nothing is known of it."""
        (counts,) = await self._database.read(statement("counts"), {"user": user})
        return Counts(*counts)

    async def counts_of(self, users: Sequence[str]) -> Mapping[str, Counts]:
        """Return the counts of several users, each as `counts` does.

        A name that Postgres cannot store is left out: nobody has it.
        """
        named = [user for user in users if is_storable(user)]

        async def read(connection: Connection) -> Mapping[str, Counts]:
            cursor = await connection.execute(statement("counts_given"), {"users": named})
            return {user: Counts(*counts) for user, *counts in await cursor.fetchall()}

        return await self._database.run(read)

    async def list(self, user: str, query: ListQuery) -> Page:
        """Return a page of a user's items, newest first, with the counts of the same moment.

        Raises `InvalidQuery` for a limit or a cursor that is none.
        """
        return await listing.list_page(self._database, user, query)

    async def has(self, user: str, name: str) -> bool:
        """Tell whether a user has an item, by the id of its notification or its row.

        Also of one that was retracted; not of one that another user has.
        """
        return await marking.has(self._database, user, name)

    async def was_read(self, user: str, ids: Collection[str]) -> frozenset[str]:
        """Return which of these notifications a user has read, in one round trip.

        What the feed does not have was not read; what was archived or retracted after it was read
        stays so. *ids* are of whole notifications, not of parts or rows.
        """
        return await marking.was_read(self._database, user, ids)

    async def mark_read(self, user: str, ids: Sequence[str]) -> Counts:
        """Mark items as read, and as seen; the first time stays. Return the counts.

        *ids* are of notifications or of rows; those that the user does not have change nothing.
        """
        return await marking.mark_named(self._database, marking.READ, user, ids)

    async def mark_unread(self, user: str, ids: Sequence[str]) -> Counts:
        """Mark items as not read; see `mark_read`."""
        return await marking.mark_named(self._database, marking.UNREAD, user, ids)

    async def mark_seen(self, user: str, ids: Sequence[str]) -> Counts:
        """Mark items as seen; see `mark_read`."""
        return await marking.mark_named(self._database, marking.SEEN, user, ids)

    async def archive(self, user: str, ids: Sequence[str]) -> Counts:
        """Archive items: they are neither listed nor counted any more. See `mark_read`."""
        return await marking.mark_named(self._database, marking.ARCHIVE, user, ids)

    async def mark_all_read(self, user: str, until: str | None) -> Counts:
        """Mark all items up to the notification *until* as read, 500 in a transaction.

        Without *until*, all that is there when the call begins. Where the user has no such
        notification nothing changes. Return the counts.
        """
        return await marking.mark_all(self._database, marking.READ, user, until)

    async def mark_all_unread(self, user: str, until: str | None) -> Counts:
        """Mark all items up to *until* as not read; see `mark_all_read`."""
        return await marking.mark_all(self._database, marking.UNREAD, user, until)

    async def mark_all_seen(self, user: str, until: str | None) -> Counts:
        """Mark all items up to *until* as seen; see `mark_all_read`."""
        return await marking.mark_all(self._database, marking.SEEN, user, until)

    async def archive_all(self, user: str, until: str | None) -> Counts:
        """Archive all items up to *until*; see `mark_all_read`."""
        return await marking.mark_all(self._database, marking.ARCHIVE, user, until)

    async def find_delivered(self, given: Sequence[DeliveredVia]) -> FoundVia:
        """Return which items of at most 500 deliveries are there, and which lack a channel."""
        return await delivering.find_delivered(self._database, given)

    async def add_delivered(self, given: Sequence[DeliveredVia]) -> frozenset[str]:
        """Add to items the channels of at most 500 deliveries, each once; counts stay.

        Items that are retracted, or not there, are passed over. Nothing waits for a lock: users
        whose lock another transaction holds, or who have no counts, are left out and returned.
        """
        return await delivering.add_delivered(self._database, given)

    async def retract(self, notification_id: str, users: Sequence[str] | None) -> Retracted:
        """Retract a notification for *users*, or for all that have it, 500 in a transaction.

        Its text is deleted, and it is not listed any more. Where a user does not have it yet, it
        is noted, so that a later insert changes nothing.
        """
        return await removing.retract(self._database, notification_id, users)

    async def recipients(
        self, notification_id: str, producers: Collection[str] | None = None
    ) -> Sequence[str]:
        """Return the users that have a notification, retracted or not, in their order.

        With *producers*, only where one of them published it.
        """
        return await removing.recipients(self._database, notification_id, producers)

    async def forget(self, user: str) -> int:
        """Delete all rows of a user, 500 in a transaction, then its counts; return how many."""
        return await removing.forget(self._database, user)

    def delete_older_than(self, days: int) -> AsyncIterator[Deleted]:
        """Delete what came into the feed more than *days* ago, a statement of 500 rows each.

        With 0 days nothing is deleted. Users whose lock another transaction holds are passed over.
        """
        return removing.delete_older_than(self._database, days)

    async def now_ms(self) -> int:
        """Return the time of Postgres' clock, in ms since 1970."""

        async def read(connection: Connection) -> int:
            cursor = await connection.execute(statement("now"))
            return int((await cursor.fetchone() or [0])[0])

        return await self._database.run(read)

    async def changed_since(
        self, since_ms: int, after_user: str = "", limit: int = 500
    ) -> Sequence[Changed]:
        """Return users whose counts changed at *since_ms* or later, in their order.

        The time is that of Postgres' clock. The next ones follow *after_user*. A transaction that
        is not committed yet may have changed them up to two statement time-outs ago.
        """
        return await reconciling.changed_since(self._database, since_ms, after_user, limit)

    async def all_counts(self, after_user: str = "", limit: int = 500) -> Sequence[Changed]:
        """Return the counts of the next users behind *after_user*, in their order."""
        return await reconciling.counts_page(self._database, after_user, limit)

    def reconcile(
        self, users: Sequence[str] | None = None, fix: bool = False
    ) -> AsyncIterator[Drift]:
        """Count the items of *users*, or of all, and yield those whose counts were wrong.

        With *fix*, also correct them.
        """
        return reconciling.reconcile(self._database, users, fix)
