"""Publications that passed every check, with their ids: what a call of the feed writes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import msgpack

from galaxy_notify.errors import InvalidPublication
from galaxy_notify.feed.receipts import FeedReceipt, refused
from galaxy_notify.model.feed import NewItem
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.publication import Publication, PublicationLike

_CHANNEL = "in_app"


class Prepared(NamedTuple):
    """An item for the feed.

    *is_first*: no other publication has its id, which was made for this one.
    """

    item: NewItem
    is_first: bool

    @property
    def live_event(self) -> LiveEvent:
        """The item as an event of the channel `in_app`.

        Its data is what the row has, also where the publication's was changed meanwhile.
        """
        item = self.item
        return LiveEvent(
            f"{item.notification_id}/{_CHANNEL}:{item.user_id}",
            item.type,
            item.severity,
            item.title,
            item.body,
            msgpack.unpackb(item.payload),
            item.created_at_ms,
        )


def prepared(publication: Publication, most_bytes: int) -> Prepared:
    """Return what is written of a publication, published now; raise `InvalidPublication`."""
    at_ms = time.time_ns() // 1_000_000
    item = publication.item(publication.id_at(at_ms), at_ms, most_bytes)
    return Prepared(item, not publication.may_repeat)


def all_prepared(
    publications: Iterable[PublicationLike], most_bytes: int
) -> list[Prepared | FeedReceipt]:
    """Return what is written of each publication, or the receipt of one that is refused.

    Reading the objects of a program runs its code, which may raise anything; it is refused then.
    """
    return [_prepared_or_refused(one, most_bytes) for one in publications]


def _prepared_or_refused(publication: PublicationLike, most_bytes: int) -> Prepared | FeedReceipt:
    try:
        return prepared(Publication.parse(publication), most_bytes)
    except InvalidPublication as error:
        return refused(error)
