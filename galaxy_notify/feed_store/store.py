"""The rows of the feed: what may be done to them, and what they say."""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_notify.feed_store import inserting, migrations
from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.inserting import Inserted
from galaxy_notify.feed_store.statements import statement
from galaxy_notify.model.feed import Counts, NewItem
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

        async def read(connection: Connection) -> Counts:
            cursor = await connection.execute(statement("counts"), {"user": user})
            return Counts(*await cursor.fetchone() or (0, 0, 0, 0))

        return await self._database.run(read)
