"""Inserting: items and the counts of their users, at once or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.faults import LOCKED
from galaxy_notify.feed_store.locks import add_users, lock_users
from galaxy_notify.feed_store.statements import statement
from galaxy_notify.model.feed import Counts, NewItem

T = TypeVar("T")

#: Of one statement; more is divided.
_MOST_ITEMS: Final = 500
_MOST_BYTES: Final = 8 << 20


class Inserted(NamedTuple):
    """What an insert did.

    *new* are the (user, notification) pairs that were not there before. *counts* are those of all
    users of the call but the *blocked* ones, whose items were left out because another transaction
    held their lock.
    """

    new: frozenset[tuple[str, str]]
    counts: Mapping[str, Counts]
    blocked: frozenset[str]


async def insert(
    database: Database, items: Sequence[NewItem], lock_timeout_ms: int | None
) -> Inserted:
    """Insert items, a transaction for each 500 of them; see `FeedStore.insert`."""
    done = [await _insert(database, group, lock_timeout_ms) for group in _groups(items)]
    return Inserted(
        frozenset[tuple[str, str]]().union(*(part.new for part in done)),
        {user: counts for part in done for user, counts in part.counts.items()},
        frozenset[str]().union(*(part.blocked for part in done)),
    )


async def _insert(
    database: Database, items: Sequence[NewItem], lock_timeout_ms: int | None
) -> Inserted:
    users = sorted({item.user_id for item in items})

    async def waiting(connection: Connection) -> Inserted:
        await add_users(connection, users)
        return await _write(connection, items, await lock_users(connection, users))

    async def skipping(connection: Connection) -> Inserted:
        locked = await lock_users(connection, users, skip_locked=True)
        return await _write(connection, items, locked)

    done = await _unless_locked(database.run(waiting, lock_timeout_ms=lock_timeout_ms))
    if done is not None:
        return done
    await _add(database, users, lock_timeout_ms)
    return await database.run(skipping, lock_timeout_ms=lock_timeout_ms)


async def _add(database: Database, users: Sequence[str], lock_timeout_ms: int | None) -> None:
    """Give new users a row of counts, but those whom another transaction has just added.

    Apart from the items, so that a new user is not held up by the lock of another one.
    """

    async def add(some: Sequence[str]) -> bool:
        async def adding(connection: Connection) -> bool:
            await add_users(connection, some)
            return True

        run = database.run(adding, lock_timeout_ms=lock_timeout_ms)
        return await _unless_locked(run) is not None

    if not await add(users):
        # Which of them is locked is not known: only by itself is none held up by another.
        for user in users:
            await add([user])


async def _unless_locked(work: Awaitable[T]) -> T | None:
    """Return the result of a transaction, None where it could not get a lock in time."""
    try:
        return await work
    except FeedUnavailable as error:
        if error.code != LOCKED:
            raise
        return None


async def _write(
    connection: Connection, items: Sequence[NewItem], locked: dict[str, Counts]
) -> Inserted:
    """Insert the items of the locked users."""
    mine = [item for item in items if item.user_id in locked]
    blocked = frozenset(item.user_id for item in items) - locked.keys()
    if not mine:
        return Inserted(frozenset(), {}, blocked)
    cursor = await connection.execute(statement("item_insert"), columns(mine))
    changed = {user: (Counts(*counts), ids) for user, *counts, ids in await cursor.fetchall()}
    return Inserted(
        frozenset((user, one) for user, (_, ids) in changed.items() for one in ids),
        locked | {user: counts for user, (counts, _) in changed.items()},
        blocked,
    )


def columns(items: Sequence[NewItem]) -> dict[str, list[Any]]:
    """Return the values of items by field, as statements take them."""
    return dict(zip(NewItem._fields, map(list, zip(*items, strict=True)), strict=True))


def _groups(items: Sequence[NewItem]) -> Iterator[Sequence[NewItem]]:
    """Divide items, in their order, into what one statement takes."""
    group: list[NewItem] = []
    size = 0
    for item in items:
        length = sum(map(len, item[:-1]))  # all but the time
        if group and (len(group) == _MOST_ITEMS or size + length > _MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += length
    if group:
        yield group
