"""The feed of a user: what is put into it, what it shows, and how much of it is unread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_NUMBER: Final = re.compile(rb"[0-9]{1,15}")


class Counts(NamedTuple):
    """How much of a user's feed is unread and unseen.

    *version* grows with every change; of two counts of one *epoch* the higher one is newer. A
    restored database begins another epoch, and epochs of one database grow.
    """

    unread: int
    unseen: int
    version: int
    epoch: int

    def document(self) -> dict[str, Any]:
        """Return the counts as JSON data."""
        return self._asdict()

    def is_newer(self, than: Counts | None) -> bool:
        """Return whether these counts replace others of the same user; None is older than any."""
        return than is None or (self.epoch, self.version) > (than.epoch, than.version)


def parse_counts(values: Sequence[object]) -> Counts | None:
    """Return counts from the digits of their fields, in order; None if they are invalid."""
    given = [value for value in values if isinstance(value, bytes) and _NUMBER.fullmatch(value)]
    return Counts(*map(int, given)) if len(given) == len(values) == len(Counts._fields) else None


class NewItem(NamedTuple):
    """A notification for the feed of a user.

    *notification_id* is without part and generation, as its receipt names it. *payload* is the data
    as msgpack. *title* and *body* may be empty.
    """

    user_id: str
    notification_id: str
    type: str
    producer: str
    severity: str
    title: str
    body: str
    payload: bytes
    created_at_ms: int


class DeliveredVia(NamedTuple):
    """A channel outside of the feed by which a notification reached a user.

    *notification_id* is without part, as in the feed.
    """

    user_id: str
    notification_id: str
    channel: str


class FeedItem(NamedTuple):
    """A notification in the feed of a user; times are in ms since 1970, None for what is not."""

    id: int
    notification_id: str
    type: str
    producer: str
    severity: str
    title: str
    body: str
    data: Any
    created_at_ms: int
    at_ms: int
    seen_at_ms: int | None
    read_at_ms: int | None
    archived_at_ms: int | None
    delivered_via: Sequence[str]

    def document(self) -> dict[str, Any]:
        """Return the item as JSON data."""
        return self._asdict() | {"delivered_via": list(self.delivered_via)}
