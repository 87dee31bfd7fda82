"""Three ways of writing a batch of rows: the feed's, and two that count nothing.

All fill the same table with all its indexes, a COMMIT for each batch. The bare ones take no locks,
keep no counts and do not look for rows that are there already: *bare unnest* is one INSERT.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import psycopg

from galaxy_notify.feed_store.inserting import columns
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import NewItem
from galaxy_notify.settings.feed import FeedSettings
from tests.support.feed_store import new_item
from tests.support.postgres import Postgres

Way = Callable[[list[NewItem]], Awaitable[object]]
BATCH, USERS = 500, 20_000
COUNTED, UNNEST, COPIED = "counted", "bare unnest", "COPY"

_NAMES = ", ".join(NewItem._fields[:-1])
_INTO = f"feed_item ({_NAMES}, created_at)"
_LISTS = ", ".join(
    f"%({name})s::{'bytea' if name == 'payload' else 'text'}[]" for name in NewItem._fields[:-1]
)
_BARE = (
    f"INSERT INTO {_INTO}"
    f" SELECT {_NAMES}, timestamptz 'epoch' + created_at_ms * interval '1 millisecond'"
    f" FROM unnest({_LISTS}, %(created_at_ms)s::bigint[]) AS given ({_NAMES}, created_at_ms)"
).encode()
_COPY = f"COPY {_INTO} FROM STDIN".encode()


def batch(users: int = USERS) -> list[NewItem]:
    """Return new items of so many users by chance."""
    return [
        new_item(f"user-{random.randrange(users)}", payload=os.urandom(120)) for _ in range(BATCH)
    ]


@asynccontextmanager
async def opened_store(postgres: Postgres) -> AsyncIterator[FeedStore]:
    """Open the store of the feed."""
    store = FeedStore.from_settings(FeedSettings(url=postgres.url))
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_ways(postgres: Postgres) -> AsyncIterator[Mapping[str, Way]]:
    """Open all ways, by name."""
    bare = await psycopg.AsyncConnection.connect(postgres.url, prepare_threshold=None)

    async def unnest(items: list[NewItem]) -> None:
        await bare.execute(_BARE, columns(items))
        await bare.commit()

    async def copy(items: list[NewItem]) -> None:
        async with bare.cursor() as cursor, cursor.copy(_COPY) as copying:
            for item in items:
                await copying.write_row((*item[:-1], "2026-01-01"))
        await bare.commit()

    async with opened_store(postgres) as store, bare:
        yield {COUNTED: store.insert, UNNEST: unnest, COPIED: copy}
