"""Locks: whoever changes items of users has locked the rows of their counts before.

All lock users in one order, so they never wait for each other in a circle; and what a transaction
reads of the items of a locked user stays true until its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from galaxy_notify.feed_store.database import Connection
from galaxy_notify.feed_store.statements import statement
from galaxy_notify.model.feed import Counts


async def add_users(connection: Connection, users: Sequence[str]) -> None:
    """Give the users that have none a row of counts, all 0."""
    await connection.execute(statement("user_add"), {"users": list(users)})


async def lock_users(
    connection: Connection, users: Sequence[str], *, skip_locked: bool = False
) -> dict[str, Counts]:
    """Lock those of the users that have counts, and return these.

    With *skip_locked* the users that another transaction has locked are left out. One that is
    forgotten in just this moment is missing as well: without its lock, nothing of it is changed.
    """
    query = statement("user_lock", waiting="SKIP LOCKED" if skip_locked else "")
    cursor = await connection.execute(query, {"users": list(users)})
    return {user: Counts(*counts) for user, *counts in await cursor.fetchall()}


async def counts_of(connection: Connection, user: str) -> Counts:
    """Return the counts of a user; all but the epoch are 0 where it has none."""
    cursor = await connection.execute(statement("counts"), {"user": user})
    return Counts(*await cursor.fetchone() or (0, 0, 0, 0))
