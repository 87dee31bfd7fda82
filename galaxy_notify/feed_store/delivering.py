"""By which channels outside of the feed its items were delivered too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.locks import lock_users
from galaxy_notify.feed_store.statements import statement
from galaxy_notify.model.feed import DeliveredVia


class FoundVia(NamedTuple):
    """Which items deliveries are of, as pairs of user and notification.

    *missing* are not in the feed; *lacking* do not name all of the channels. All others name them,
    or are retracted: those never do.
    """

    missing: frozenset[tuple[str, str]]
    lacking: frozenset[tuple[str, str]]


async def find_delivered(database: Database, given: Sequence[DeliveredVia]) -> FoundVia:
    """Look for the items of deliveries; see `FeedStore.find_delivered`."""

    async def find(connection: Connection) -> FoundVia:
        cursor = await connection.execute(statement("delivered_find"), _columns(given))
        found = {(user, name): lacks for user, name, lacks in await cursor.fetchall()}
        return FoundVia(
            frozenset((one.user_id, one.notification_id) for one in given) - found.keys(),
            frozenset(item for item, lacks in found.items() if lacks),
        )

    return await database.run(find)


async def add_delivered(database: Database, given: Sequence[DeliveredVia]) -> frozenset[str]:
    """Add channels to items; see `FeedStore.add_delivered`."""
    users = sorted({one.user_id for one in given})

    async def add(connection: Connection) -> frozenset[str]:
        locked = await lock_users(connection, users, skip_locked=True)
        values = {**_columns(given), "users": list(locked)}
        await connection.execute(statement("delivered_add"), values)
        return frozenset(users) - locked.keys()

    return await database.run(add)


def _columns(given: Sequence[DeliveredVia]) -> dict[str, Any]:
    """Return the values of deliveries by field, as statements take them."""
    return dict(zip(DeliveredVia._fields, map(list, zip(*given, strict=True)), strict=True))
