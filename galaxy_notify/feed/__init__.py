"""The feed: a persistent list of each user's notifications, with exact counts.

`Feed` and `AsyncFeed` publish in it directly, list, count and mark. Needs the extra ``feed``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galaxy_notify.errors import FeedRefused, FeedUnavailable, InvalidPublication
    from galaxy_notify.feed.async_feed import AsyncFeed
    from galaxy_notify.feed.feed import Feed
    from galaxy_notify.feed.receipts import FeedReceipt
    from galaxy_notify.feed.retractor import Retracted
    from galaxy_notify.feed_store.listing import Page
    from galaxy_notify.model.feed import Counts, FeedItem
    from galaxy_notify.model.publication import Publication

__all__ = [
    "AsyncFeed",
    "Counts",
    "Feed",
    "FeedItem",
    "FeedReceipt",
    "FeedRefused",
    "FeedUnavailable",
    "InvalidPublication",
    "Page",
    "Publication",
    "Retracted",
]

# Loaded on first use: a value needs no Postgres, and `Feed` needs psycopg.
_HOMES = {
    "AsyncFeed": "galaxy_notify.feed.async_feed",
    "Counts": "galaxy_notify.model.feed",
    "Feed": "galaxy_notify.feed.feed",
    "FeedItem": "galaxy_notify.model.feed",
    "FeedReceipt": "galaxy_notify.feed.receipts",
    "FeedRefused": "galaxy_notify.errors",
    "FeedUnavailable": "galaxy_notify.errors",
    "InvalidPublication": "galaxy_notify.errors",
    "Page": "galaxy_notify.feed_store.listing",
    "Publication": "galaxy_notify.model.publication",
    "Retracted": "galaxy_notify.feed.retractor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        text = "galaxy_notify.feed needs more packages: pip install 'galaxy-notify[feed]'"
        raise ModuleNotFoundError(text, name=error.name) from None
