"""Reconciling: the stored counts against the items, and what changed since a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.feed_store.database import Connection, Database
from galaxy_notify.feed_store.locks import add_users, lock_users
from galaxy_notify.feed_store.statements import statement, text
from galaxy_notify.model.feed import Counts

#: Users whose items are counted by one statement.
_PAGE: Final = 100


class Changed(NamedTuple):
    """The counts of a user, and when they changed, in ms by the clock of Postgres."""

    user: str
    counts: Counts
    changed_at_ms: int


class Drift(NamedTuple):
    """A user whose stored counts were not those of its items; *real* has the newest version."""

    user: str
    stored: Counts
    real: Counts


async def changed_since(
    database: Database, since_ms: int, after_user: str, limit: int
) -> Sequence[Changed]:
    """Return the next users that changed; see `FeedStore.changed_since`."""
    values: dict[str, str | int] = {"since_ms": since_ms, "after": after_user, "most": limit}
    return await _read_changed(database, "changed_since", values)


async def counts_page(database: Database, after_user: str, limit: int) -> Sequence[Changed]:
    """Return the next of all users; see `FeedStore.all_counts`."""
    return await _read_changed(database, "counts_page", {"after": after_user, "most": limit})


async def _read_changed(
    database: Database, name: str, values: Mapping[str, str | int]
) -> Sequence[Changed]:
    async def read(connection: Connection) -> Sequence[Changed]:
        cursor = await connection.execute(statement(name), values)
        rows = await cursor.fetchall()
        return [Changed(user, Counts(*counts), at_ms) for user, *counts, at_ms in rows]

    return await database.run(read)


async def reconcile(
    database: Database, users: Sequence[str] | None, fix: bool
) -> AsyncIterator[Drift]:
    """Yield the users whose counts are wrong; see `FeedStore.reconcile`."""
    given = None if users is None else sorted(set(users))
    begun, after = 0, ""
    while page := (
        await _recount(database, after=after)
        if given is None
        else await _recount(database, users=given[begun : begun + _PAGE])
    ):
        for found in page:
            if found.stored != found.real:
                yield await _correct(database, found) if fix else found
        begun, after = begun + _PAGE, page[-1].user


async def _recount(database: Database, **which: Any) -> list[Drift]:
    """Count the items of users: of those given, or of the next ones *after* one."""

    async def read(connection: Connection) -> list[Drift]:
        return await _counted(connection, **which)

    return await database.run(read)


async def _counted(
    connection: Connection, *, users: Sequence[str] | None = None, after: str = ""
) -> list[Drift]:
    if users is None:
        query, values = text("users_page"), {"after": after, "most": _PAGE}
    else:
        query, values = text("users_given"), {"users": list(users)}
    cursor = await connection.execute(statement("recount", users=query), values)
    return [
        Drift(user, stored := Counts(*counts), stored._replace(unread=unread, unseen=unseen))
        for user, *counts, unread, unseen in await cursor.fetchall()
    ]


async def _correct(database: Database, found: Drift) -> Drift:
    """Store the real counts, which are counted again while nobody can change them."""

    async def correct(connection: Connection) -> Drift:
        await add_users(connection, [found.user])
        locked = await lock_users(connection, [found.user])
        (now,) = await _counted(connection, users=[found.user])
        if now.stored == now.real or found.user not in locked:
            return found._replace(real=now.real)
        values = {"user": now.user, "unread": now.real.unread, "unseen": now.real.unseen}
        cursor = await connection.execute(statement("user_correct"), values)
        return Drift(now.user, found.stored, Counts(*await cursor.fetchone() or now.real))

    return await database.run(correct)
