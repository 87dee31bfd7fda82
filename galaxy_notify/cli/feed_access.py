"""How the commands of the feed reach Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from galaxy_notify.errors import FeedUnavailable, Unavailable

if TYPE_CHECKING:
    from galaxy_notify.feed_store.store import FeedStore
    from galaxy_notify.settings import Settings

T = TypeVar("T")


def run(call: Coroutine[Any, Any, T]) -> T:
    """Return what a call of the feed returns."""
    import asyncio  # the help needs no event loop

    return asyncio.run(call)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[FeedStore]:
    """Open the feed of a deployment; an embedded Postgres must be running.

    Raises `ConfigurationError` without `feed.url`, and for a schema of another version.
    """
    from galaxy_notify.feed.opening import open_store

    store = open_store(settings)
    if settings.feed.url == "embedded":
        _require_running(settings)
    try:
        await store.ready()
        yield store
    finally:
        await store.close()


def _require_running(settings: Settings) -> None:
    """Say in one line how to start the embedded Postgres where it does not run."""
    from galaxy_notify.embedded.postgres import connect_url, postgres_folder

    try:
        connect_url(postgres_folder(settings))
    except Unavailable as error:
        raise FeedUnavailable(str(error), code="connection") from error
