"""The feed's Postgres, as the settings name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings.values import EMBEDDED

if TYPE_CHECKING:
    from galaxy_notify.feed.async_feed import AsyncFeed
    from galaxy_notify.feed.missing_marks import MissingMarks
    from galaxy_notify.feed_store.store import FeedStore
    from galaxy_notify.settings import Settings

#: What the extra `feed` installs that the core lacks.
_EXTRA: Final = frozenset({"psycopg"})
_INSTALL: Final = "feed needs more packages: pip install 'galaxy-notify[feed]'"


@contextmanager
def needing_extra() -> Iterator[None]:
    """Raise `ConfigurationError` where an import in the block needs the extra `feed`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigurationError(_INSTALL) from None


def open_store(settings: Settings) -> FeedStore:
    """Return the feed in Postgres; it connects when it is first used.

    An embedded server need not run yet. Raises `ConfigurationError` where there is no ``feed.url``,
    or the extra is not installed.
    """
    if not settings.feed.url:
        raise ConfigurationError("feed.url: not set: this deployment has no feed")
    with needing_extra():
        from galaxy_notify.feed_store.store import FeedStore
    return FeedStore.from_settings(settings.feed, _url(settings))


def open_feed(settings: Settings) -> AsyncFeed | None:
    """Return the feeds of all users; None where the settings name no feed.

    Raises `ConfigurationError` where the extra is not installed.
    """
    if not settings.feed.url:
        return None
    with needing_extra():
        from galaxy_notify.feed.async_feed import AsyncFeed
    return AsyncFeed(settings)


def open_missing_marks(settings: Settings) -> MissingMarks | None:
    """Return what makes missing marks from Postgres; None where the settings name no feed.

    Raises `ConfigurationError` where the extra is not installed.
    """
    if not settings.feed.url:
        return None
    store = open_store(settings)
    from galaxy_notify.feed.missing_marks import MissingMarks

    return MissingMarks(store)


def _url(settings: Settings) -> str | None:
    if settings.feed.url != EMBEDDED:
        return None
    from galaxy_notify.embedded.postgres import postgres_folder, server_url

    return server_url(postgres_folder(settings))
