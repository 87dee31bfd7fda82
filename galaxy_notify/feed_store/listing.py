"""Listing: pages of a user's items, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.feed_store.database import Database
from galaxy_notify.feed_store.positions import NEWEST, Position, position_at
from galaxy_notify.feed_store.statements import statement, text
from galaxy_notify.model.feed import Counts, FeedItem

MOST_ITEMS: Final = 200
#: A page ends behind the item with which its texts and data have more bytes than this: whoever
#: reads it holds all of it in memory.
MOST_BYTES: Final = 1 << 20
#: A filter that few items match ends its page after this many.
LOOKED_AT: Final = 1000
_UNREADABLE: Final = (ValueError, TypeError, RecursionError, OverflowError, MemoryError)


class ListQuery(NamedTuple):
    """Which items of a user to list, at most *limit* (1 to 200), behind a *cursor*.

    A page of large items has fewer.

    Archived ones are listed only with *archived*, and then alone. No *types*: all.
    """

    limit: int = 50
    cursor: str | None = None
    unread: bool = False
    types: Sequence[str] = ()
    severity: str | None = None
    archived: bool = False

    @property
    def _is_filter(self) -> bool:
        return bool(self.types) or self.severity is not None or (self.unread and self.archived)

    @property
    def _shelf(self) -> str:
        """Which items to look at, in the words of an index."""
        if self.archived:
            return "archived_at IS NOT NULL AND retracted_at IS NULL"
        return "unread" if self.unread else "archived_at IS NULL AND retracted_at IS NULL"

    def _values(self, user: str) -> dict[str, Any]:
        if not 1 <= self.limit <= MOST_ITEMS:
            raise InvalidQuery("limit", f"must be 1 to {MOST_ITEMS}")
        start = NEWEST if self.cursor is None else position_at(self.cursor)
        return {
            **start._asdict(),
            "user": user,
            "most": LOOKED_AT if self._is_filter else self.limit + 1,
            "wanted": self.limit + 1,
            "most_bytes": MOST_BYTES,
            "types": list(self.types) or None,
            "severity": self.severity,
            "unread": self.unread,
        }


class Page(NamedTuple):
    """Items of a user, the cursor of the next page, if there may be one, and the user's counts."""

    items: Sequence[FeedItem]
    next: str | None
    counts: Counts


async def list_page(database: Database, user: str, query: ListQuery) -> Page:
    """Return a page; counts and items are of the same moment. See `FeedStore.list`."""
    values = query._values(user)

    most = text("most", counted="unread") if query._shelf == "unread" else "%(most)s"
    selected = statement("list", shelf=query._shelf, most=most)
    return _page(await database.read(selected, values), query)


def _page(rows: Sequence[Sequence[Any]], query: ListQuery) -> Page:
    counts, (looked, wanted), end = Counts(*rows[0][:4]), rows[0][4:6], rows[0][6:8]
    found = [(row[8], _item(row[9:], row[8])) for row in rows if row[9] is not None]
    shown = found[: query.limit]
    following = None
    if wanted > len(shown):
        following = Position(shown[-1][0], shown[-1][1].id)
    elif query._is_filter and looked == LOOKED_AT:
        following = Position(*end)
    return Page([item for _, item in shown], following and following.cursor, counts)


def _item(row: Sequence[Any], at_us: int) -> FeedItem:
    fields = [*row[:7], _data(row[7]), row[8], at_us // 1000, *row[9:]]
    return FeedItem(*fields)


def _data(payload: bytes) -> Any:
    """Return what a payload holds, None where that is unreadable."""
    try:
        return msgpack.unpackb(payload) if payload else {}
    except _UNREADABLE:
        return None
