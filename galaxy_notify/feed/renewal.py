"""Marks of another epoch, renewed: Postgres was restored, or another one took its place."""

from __future__ import annotations

from typing import Final, NamedTuple

from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.unread import marks_page

#: Where the first page begins.
FIRST_PAGE: Final = "0 0"


class Renewed(NamedTuple):
    """How many marks were renewed, and where the next page begins; empty behind the last one."""

    users: int
    following: str


async def renew_page(store: FeedStore, marks: Marks, begin: str) -> Renewed:
    """Renew the marks of a page that are of another epoch than Postgres is in.

    Those of users whom Postgres does not know are set to 0. Safe to repeat. Raises `RedisFault`,
    and as `FeedStore`.
    """
    page = await marks_page(marks.client, marks.key_space, begin)
    epoch = await store.epoch()
    old = [user for user, counts in page.marks.items() if counts is None or counts.epoch != epoch]
    if old:
        published = await marks.publish(await store.counts_of(old))
        if published.fault is not None:
            raise RedisFault(published.fault)
    return Renewed(len(old), page.following)


async def renew_all(store: FeedStore, marks: Marks) -> int:
    """Renew all marks of another epoch, page by page, and return how many; see `renew_page`."""
    users, following = 0, FIRST_PAGE
    while following:
        found = await renew_page(store, marks, following)
        users, following = users + found.users, found.following
    return users
