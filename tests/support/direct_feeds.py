"""A feed as programs use it: in a migrated database, beside a deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from galaxy_notify.feed import Feed, FeedItem
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.settings import FeedSettings
from tests.support.postgres import Postgres

PLAIN: dict[str, Any] = {"type": "game.turn", "producer": "lobby"}


def migrated(postgres: Postgres) -> str:
    """Make the schema, and return the URL of the database."""
    asyncio.run(migrate(FeedSettings(url=postgres.url)))
    return postgres.url


@contextmanager
def feed_in(postgres: Postgres, redis_url: str, **settings: Any) -> Iterator[Feed]:
    """Open a feed in a database without a schema yet."""
    with Feed.from_url(migrated(postgres), redis=redis_url, **settings) as feed:
        yield feed


def items(feed: Feed, user: str, **filters: Any) -> list[FeedItem]:
    """Return all items of a user, over all pages."""
    found: list[FeedItem] = []
    cursor = None
    while True:
        page = feed.list(user, cursor=cursor, **filters)
        found += page.items
        if (cursor := page.next) is None:
            return found
