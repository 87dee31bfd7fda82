"""Deleting the feed of a user: the half of forgetting that Postgres has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galaxy_notify.feed.calls import tried
from galaxy_notify.feed.opening import open_store

if TYPE_CHECKING:
    from galaxy_notify.feed_store.store import FeedStore
    from galaxy_notify.settings import Settings


async def forget_rows(store: FeedStore | None, user: str) -> int | None:
    """Delete the feed of a user; return how many rows, None where there is no feed.

    Raises `FeedUnavailable`, `Misconfigured` and `ConfigurationError`.
    """
    return None if store is None else await tried(lambda: store.forget(user))


async def forget_rows_of(settings: Settings, user: str) -> int | None:
    """Do the same in the feed that *settings* name."""
    if not settings.feed.url:
        return None
    store = open_store(settings)
    try:
        return await forget_rows(store, user)
    finally:
        await store.close()
