"""A feed store on a real Postgres, and items to put into it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final, TypeVar

import msgpack

from galaxy_notify.feed_store.inserting import Inserted
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.model.ids import random_id
from galaxy_notify.settings.feed import FeedSettings
from tests.support.postgres import Postgres

T = TypeVar("T")

_ROWS: Final = "SELECT notification_id FROM feed_item WHERE user_id = %s ORDER BY at DESC, id DESC"
#: The counts by the items alone, for every user that has any.
_RECOUNT: Final = """
    SELECT user_id, count(*) FILTER (WHERE unread), count(*) FILTER (WHERE unseen)
    FROM feed_item GROUP BY user_id ORDER BY user_id
"""
#: A machine on which much else runs may stand still for longer than the usual time-out.
_PATIENCE_MS: Final = 60_000
_STORED: Final = "SELECT user_id, unread, unseen FROM feed_user ORDER BY user_id"


def new_id() -> str:
    """Return an id of a notification that is new."""
    return random_id(int(time.time() * 1000))


def new_item(user: str = "u1", notification_id: str | None = None, **fields: Any) -> NewItem:
    """Return an item; what is not given is of some plain notification."""
    plain = NewItem(
        user_id=user,
        notification_id=notification_id or new_id(),
        type="game.turn.ready",
        producer="lobby",
        severity="info",
        title="Your turn",
        body="Turn 12 is yours",
        payload=msgpack.packb({"turn": 12}),
        created_at_ms=1_700_000_000_000,
    )
    return plain._replace(**fields)


class FeedFixture:
    """A store on a database that was migrated, called from a test that is no coroutine."""

    def __init__(self, postgres: Postgres, runner: asyncio.Runner, **settings: Any) -> None:
        self.postgres = postgres
        patient = {"statement_timeout_ms": _PATIENCE_MS, **settings}
        self.settings = FeedSettings(url=postgres.url, **patient)
        self.store = FeedStore.from_settings(self.settings)
        self._runner = runner
        self._numbers = count(1)

    def run(self, work: Awaitable[T]) -> T:
        """Return what a call of the store returns."""
        return self._runner.run(_awaited(work))

    def all(self, found: AsyncIterator[T]) -> list[T]:
        """Return everything that a call of the store yields."""
        return self.run(_listed(found))

    @contextmanager
    def impatient(self, statement_timeout_ms: int) -> Iterator[FeedStore]:
        """Give another store on the database, with another time-out of its statements."""
        update = {"statement_timeout_ms": statement_timeout_ms}
        store = FeedStore.from_settings(self.settings.model_copy(update=update))
        try:
            yield store
        finally:
            self.run(store.close())

    def insert(self, *items: NewItem, lock_timeout_ms: int | None = 500) -> Inserted:
        """Insert items."""
        return self.run(self.store.insert(items, lock_timeout_ms=lock_timeout_ms))

    def fill(self, user: str, number: int) -> list[str]:
        """Insert so many items of a user; return their ids, newest first, as a list does."""
        items = [new_item(user, title=str(next(self._numbers))) for _ in range(number)]
        self.insert(*items)
        return [item.notification_id for item in reversed(items)]

    def counts(self, user: str = "u1") -> Counts:
        """Return the counts of a user."""
        return self.run(self.store.counts(user))

    def unread(self, user: str = "u1") -> tuple[int, int]:
        """Return how many items of a user are unread and unseen, and check that they really are."""
        self.check()
        return self.counts(user)[:2]

    def ids(self, user: str) -> list[str]:
        """Return all notifications of which the user has a row, newest first."""
        return [name for (name,) in self.query(_ROWS, [user])]

    def rows(self, user: str) -> int:
        """Return how many rows a user has."""
        return len(self.ids(user))

    def check(self) -> None:
        """Assert that the stored counts of all users are those of their items."""
        real = {user: tuple(counts) for user, *counts in self.query(_RECOUNT)}
        stored = {user: tuple(counts) for user, *counts in self.query(_STORED)}
        assert {user: real.get(user, (0, 0)) for user in stored | real} == stored

    def query(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""
        with self.postgres.client() as client:
            return client.execute(text.encode(), values).fetchall()

    def change(self, text: str, values: Sequence[Any] = ()) -> None:
        """Run a statement without rows."""
        with self.postgres.client() as client:
            client.execute(text.encode(), values or None)


@contextmanager
def feed_on(postgres: Postgres, **settings: Any) -> Iterator[FeedFixture]:
    """Give a store on an empty database, which is migrated."""
    with asyncio.Runner() as runner:
        made = FeedFixture(postgres, runner, **settings)
        made.run(migrate(made.settings))
        try:
            yield made
        finally:
            made.run(made.store.close())


async def _awaited(work: Awaitable[T]) -> T:
    return await work


async def _listed(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]
