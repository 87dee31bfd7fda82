"""Removing: retractions, whole users, and what is too old."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.locks import add_users, lock_users
from galaxy_notify.feed_store.marking import PAGE
from galaxy_notify.feed_store.statements import statement, text
from galaxy_notify.model.feed import Counts

_EMPTIED: Final = (
    "retracted_at = statement_timestamp(), title = '', body = '', payload = '',"
    " delivered_via = '{}'"
)
#: How often a user is emptied who gets new items meanwhile.
_ROUNDS: Final = 10


class Retracted(NamedTuple):
    """What a retraction reached: all users for whom the notification is now retracted.

    *counts* are theirs. *found*: the feed had the notification, retracted or not.
    """

    users: Sequence[str]
    counts: Mapping[str, Counts]
    found: bool


class Deleted(NamedTuple):
    """What a statement deleted: how many rows, and the counts of their users."""

    rows: int
    counts: Mapping[str, Counts]


async def retract(
    database: Database, notification_id: str, users: Sequence[str] | None
) -> Retracted:
    """Retract a notification, a transaction for each 500 users; see `FeedStore.retract`."""
    counts: dict[str, Counts] = {}
    found = False
    async for page in _pages(database, notification_id, users):
        left = page
        while left:
            part, had = await _retract(database, notification_id, left)
            counts |= part
            found = found or had
            left = [user for user in left if user not in part]
    return Retracted(list(counts), counts, found)


async def _pages(
    database: Database, notification_id: str, users: Sequence[str] | None
) -> AsyncIterator[list[str]]:
    """Yield the users that are given, or all that have the notification, in their order."""
    if users is not None:
        given = sorted(set(users))
        for begin in range(0, len(given), PAGE):
            yield given[begin : begin + PAGE]
        return
    after = ""
    while page := await _users_of(database, notification_id, after):
        yield page
        after = page[-1]


async def recipients(
    database: Database, notification_id: str, producers: Collection[str] | None
) -> list[str]:
    """Return the users that have a notification; see `FeedStore.recipients`."""
    found: list[str] = []
    while page := await _users_of(database, notification_id, found[-1] if found else "", producers):
        found += page
    return found


async def _users_of(
    database: Database, notification_id: str, after: str, producers: Collection[str] | None = None
) -> list[str]:
    values: dict[str, Any] = {"notification_id": notification_id, "after": after, "most": PAGE}
    values["producers"] = None if producers is None else sorted(producers)

    async def read(connection: Connection) -> list[str]:
        cursor = await connection.execute(statement("notification_users"), values)
        return [user for (user,) in await cursor.fetchall()]

    return await database.run(read)


async def _retract(
    database: Database, notification_id: str, users: list[str]
) -> tuple[dict[str, Counts], bool]:
    """Retract for some users; return their counts, and whether one had the notification.

    A user who is forgotten in just this moment is left out, and was not changed.
    """
    query = statement("item_change", picked=text("pick_notification"), change=_EMPTIED)

    async def change(connection: Connection) -> tuple[dict[str, Counts], bool]:
        await add_users(connection, users)
        locked = await lock_users(connection, users)
        values = {"notification_id": notification_id, "users": list(locked)}
        added = await connection.execute(statement("retracted_add"), values)
        cursor = await connection.execute(query, values)
        changed = {row[0]: Counts(*row[1:5]) for row in await cursor.fetchall()}
        return locked | changed, added.rowcount < len(locked)

    return await database.run(change)


async def forget(database: Database, user: str) -> int:
    """Delete all rows of a user, 500 in a transaction; see `FeedStore.forget`."""
    rows = 0
    for _ in range(_ROUNDS):
        while deleted := await _forget_some(database, user):
            rows += deleted
        if await _forget_counts(database, user):
            break
    return rows


async def _forget_some(database: Database, user: str) -> int:
    async def delete(connection: Connection) -> int:
        await lock_users(connection, [user])
        rows = await _rows_of(connection, user)
        await _delete(connection, rows)
        return len(rows)

    return await database.run(delete)


async def _forget_counts(database: Database, user: str) -> bool:
    """Delete the counts of a user, unless it has items again."""

    async def delete(connection: Connection) -> bool:
        locked = await lock_users(connection, [user])
        if await _rows_of(connection, user):
            return False
        if user in locked:
            await connection.execute(statement("user_delete"), {"user": user})
        return True

    return await database.run(delete)


async def _rows_of(connection: Connection, user: str) -> list[int]:
    cursor = await connection.execute(statement("user_items"), {"user": user, "most": PAGE})
    return [row for (row,) in await cursor.fetchall()]


async def _delete(connection: Connection, rows: list[int]) -> dict[str, Counts]:
    """Delete rows of locked users, and return the counts of these."""
    cursor = await connection.execute(statement("item_delete"), {"rows": rows})
    return {user: Counts(*counts) for user, *counts in await cursor.fetchall()}


async def delete_older_than(database: Database, days: int) -> AsyncIterator[Deleted]:
    """Delete what is too old, 500 rows in a transaction; see `FeedStore.delete_older_than`."""
    after = 0 if days else None
    while after is not None:
        deleted, after = await _delete_oldest(database, days, after)
        if deleted.rows:
            yield deleted


async def _delete_oldest(database: Database, days: int, after: int) -> tuple[Deleted, int | None]:
    """Delete the next rows that are too old; return where to go on, if there may be more."""

    async def delete(connection: Connection) -> tuple[Deleted, int | None]:
        values = {"after": after, "days": days, "most": PAGE}
        cursor = await connection.execute(statement("oldest_items"), values)
        found = await cursor.fetchall()
        old = {row: user for row, user, is_old in found if is_old}
        if not old:
            return Deleted(0, {}), None
        # A user whose lock is held stays for the next run.
        locked = await lock_users(connection, sorted(set(old.values())), skip_locked=True)
        rows = [row for row, user in old.items() if user in locked]
        counts = await _delete(connection, rows)
        return Deleted(len(rows), counts), found[-1][0] if len(found) == PAGE else None

    return await database.run(delete)
