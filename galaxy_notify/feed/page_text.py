"""A page of a feed as the JSON text that clients are answered with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # It needs psycopg, and a deployment may have no feed.
    from galaxy_notify.feed_store.listing import Page
    from galaxy_notify.model.feed import FeedItem

_text: Final = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


def page_text(page: Page) -> bytes:
    """Return ``items``, ``next`` and ``counts`` as JSON in ASCII.

    Data that JSON does not have is null: another program has written it.
    """
    items = ",".join(map(_item_text, page.items))
    following, counts = _text(page.next), _text(page.counts.document())
    return f'{{"items":[{items}],"next":{following},"counts":{counts}}}'.encode("ascii")


def _item_text(item: FeedItem) -> str:
    try:
        return _text(item.document())
    except (ValueError, TypeError, RecursionError):
        return _text(item._replace(data=None).document())
