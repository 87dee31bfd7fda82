"""Where the Postgres of a deployment is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galaxy_notify.errors import ConfigurationError, FeedUnavailable, Unavailable
from galaxy_notify.settings.values import EMBEDDED

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings


def feed_url(settings: Settings) -> str:
    """Return the URL of Postgres; an embedded server must be living.

    Raises `ConfigurationError`, also where the deployment has no feed, and `FeedUnavailable` where
    no embedded server lives.
    """
    if not settings.feed.url:
        raise ConfigurationError("feed.url: not set, so this deployment has no feed")
    if settings.feed.url != EMBEDDED:
        return settings.feed.url
    # Loaded here: only a deployment with a server of our own needs it.
    from galaxy_notify.embedded.postgres import connect_url, postgres_folder

    try:
        return connect_url(postgres_folder(settings))
    except Unavailable as error:
        raise FeedUnavailable(str(error), code="connection") from error
