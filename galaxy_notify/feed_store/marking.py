"""Marking: items as seen, read, unread or archived, by their names or all up to one.

Unread is what is neither read nor archived nor retracted, unseen likewise; what was read was also
seen. So an archived item counts no more, though it keeps what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.locks import counts_of, lock_users
from galaxy_notify.feed_store.positions import NEWEST, Position
from galaxy_notify.feed_store.statements import is_storable, statement, text
from galaxy_notify.model.feed import Counts

#: Items of one statement: a user's lock is held for milliseconds.
PAGE: Final = 500
_LONGEST_ROW_ID: Final = 18


class Mark(NamedTuple):
    """A change to items: what it sets, and which it does not concern any more."""

    change: str
    #: Of an item that is named: what it is where the change changes anything.
    unchanged: str
    #: The same for a list, in the words of an index; and what counts its items, if anything does.
    listed: str
    counted: str = ""


READ: Final = Mark(
    "read_at = statement_timestamp(), seen_at = coalesce(seen_at, statement_timestamp())",
    "read_at IS NULL",
    "unread",
    "unread",
)
UNREAD: Final = Mark(
    "read_at = NULL",
    "read_at IS NOT NULL",
    "archived_at IS NULL AND retracted_at IS NULL",
)
SEEN: Final = Mark("seen_at = statement_timestamp()", "seen_at IS NULL", "unseen", "unseen")
ARCHIVE: Final = Mark(
    "archived_at = statement_timestamp()",
    "archived_at IS NULL",
    "archived_at IS NULL AND retracted_at IS NULL",
)


async def mark_named(database: Database, mark: Mark, user: str, ids: Sequence[str]) -> Counts:
    """Mark the named items of a user; names that it does not have change nothing."""
    picked = text("pick_named", unchanged=mark.unchanged)
    query = statement("item_change", picked=picked, change=mark.change)

    async def change(connection: Connection) -> Counts:
        locked = await lock_users(connection, [user])
        if user not in locked:
            return await counts_of(connection, user)
        named = await _names(connection, user, ids)
        cursor = await connection.execute(query, {"user": user, "ids": named})
        row = await cursor.fetchone()
        return Counts(*row[1:5]) if row else locked[user]

    return await database.run(change)


async def has(database: Database, user: str, name: str) -> bool:
    """Tell whether a user has an item, by its notification or its row; see `FeedStore.has`."""

    async def find(connection: Connection) -> bool:
        for found in await _names(connection, user, [name]):
            return await _position(connection, user, found) is not None
        return False

    return await database.run(find)


async def was_read(database: Database, user: str, ids: Collection[str]) -> frozenset[str]:
    """Return which notifications a user has read; see `FeedStore.was_read`."""
    named = [name for name in ids if is_storable(name)]
    if not named or not is_storable(user):
        return frozenset()
    rows = await database.read(statement("item_read"), {"user": user, "ids": named})
    return frozenset(name for (name,) in rows)


async def mark_all(database: Database, mark: Mark, user: str, until: str | None) -> Counts:
    """Mark all items of a user up to the one named *until*; see `FeedStore.mark_all_read`."""
    start: Position | None = NEWEST
    if until is not None:
        start = await _behind(database, user, until)
    if start is None:
        return await database.run(lambda connection: counts_of(connection, user))
    while True:
        counts, start = await _mark_page(database, mark, user, start)
        if start is None:
            return counts


async def _behind(database: Database, user: str, notification_id: str) -> Position | None:
    """Return the position just above an item, so that it is the first below; None without it."""
    if not is_storable(notification_id):
        return None

    async def find(connection: Connection) -> Position | None:
        found = await _position(connection, user, notification_id)
        return found and found._replace(id=found.id + 1)

    return await database.run(find)


async def _position(connection: Connection, user: str, notification_id: str) -> Position | None:
    values = {"user": user, "notification_id": notification_id}
    row = await (await connection.execute(statement("item_position"), values)).fetchone()
    return Position(*row) if row else None


async def _mark_page(
    database: Database, mark: Mark, user: str, below: Position
) -> tuple[Counts, Position | None]:
    """Mark the next items below a position; return the counts and where to go on, if anywhere."""
    most = text("most", counted=mark.counted) if mark.counted else "%(most)s"
    page = statement("page", listed=mark.listed, most=most)
    picked = text("pick_rows", unchanged=mark.unchanged)
    query = statement("item_change", picked=picked, change=mark.change)

    async def change(connection: Connection) -> tuple[Counts, Position | None]:
        values = {"user": user, "most": PAGE, **below._asdict()}
        found = await (await connection.execute(page, values)).fetchall()
        locked = await lock_users(connection, [user])
        if user not in locked:
            return await counts_of(connection, user), None
        rows = {"user": user, "rows": [row for row, _ in found]}
        changed = await (await connection.execute(query, rows)).fetchone()
        counts = Counts(*changed[1:5]) if changed else locked[user]
        return counts, Position(found[-1][1], found[-1][0]) if len(found) == PAGE else None

    return await database.run(change)


async def _names(connection: Connection, user: str, ids: Sequence[str]) -> list[str]:
    """Return notification ids, with those of rows in place of the rows' own ids."""
    rows = [one for one in ids if one.isdecimal() and one.isascii() and len(one) <= _LONGEST_ROW_ID]
    names = [one for one in ids if one not in rows and is_storable(one)]
    if rows:
        values = {"user": user, "rows": [int(one) for one in rows]}
        cursor = await connection.execute(statement("item_named"), values)
        names += [name for (name,) in await cursor.fetchall()]
    return names
