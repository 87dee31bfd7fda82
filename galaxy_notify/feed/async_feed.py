"""The feeds of users for programs with an event loop: publish, list, count, mark, retract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Required, Self, TypedDict, TypeVar, Unpack

from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.feed.asked import (
    IDS_MAX,
    LIMIT,
    Ids,
    Selection,
    checked_id,
    checked_limit,
    checked_severity,
    checked_types,
    checked_user,
    checked_users,
    selection,
)
from galaxy_notify.feed.calls import Calls, tried
from galaxy_notify.feed.opening import open_store
from galaxy_notify.feed.prepared import Prepared, all_prepared, prepared
from galaxy_notify.feed.publisher import (
    OpenReceipts,
    Outcomes,
    Publisher,
    Receipts,
    interruption,
    only_receipt,
)
from galaxy_notify.feed.receipts import FeedReceipt
from galaxy_notify.feed.retractor import Retracted, Retractor
from galaxy_notify.feed_store.listing import ListQuery, Page
from galaxy_notify.intake.planner import Planner, is_heavy
from galaxy_notify.intake.source import IntentSource
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.ids import Target
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.model.publication import Publication, PublicationLike
from galaxy_notify.redis_client.access import settings_at

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")


class PublicationFields(TypedDict, total=False):
    """What a publication has beside its user; see `Publication`."""

    type: Required[str]
    producer: Required[str]
    severity: str
    title: str
    body: str
    data: Mapping[str, Any]
    idempotency_key: str | None
    notification_id: str | None


class Filters(TypedDict, total=False):
    """Which items a list has: all of these apply; a type may be one of several.

    ``archived`` lists the archived items, and no others.
    """

    unread: bool
    type: str | Iterable[str]
    severity: str | None
    archived: bool


class AsyncFeed(NotCopied):
    """The feeds of all users in Postgres; safe to share between tasks of one event loop.

    A change is complete when it is committed in Postgres. Then it is announced in Redis: to the
    streams of the user and in the unread mark. While Redis is away the announcement is left out:
    the counts follow within minutes of its return, and the list has everything.

    Every call ends within seconds, may be repeated, and is completed where its caller is cancelled.
    It raises `FeedUnavailable` while Postgres is away, `Misconfigured` or `ConfigurationError` if
    an operator has to change something first, `InvalidQuery` for an invalid argument,
    `OtherEventLoop`, and `AlreadyClosed` after `close`.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare to connect by *settings*; nothing is sent before the first call.

        Raises `ConfigurationError` without ``feed.url``.
        """
        self._most_bytes = settings.limits.max_payload_bytes
        self._store = store = open_store(settings)
        self._marks: Final = {
            "read": (store.mark_read, store.mark_all_read),
            "unread": (store.mark_unread, store.mark_all_unread),
            "seen": (store.mark_seen, store.mark_all_seen),
            "archive": (store.archive, store.archive_all),
        }
        self._announcer = Announcer(settings)
        self._publisher = Publisher(self._store, self._announcer)
        self._planner = Planner()
        self._calls = Calls(type(self).__name__)
        #: Retracts over the same connections; it is closed with this feed.
        self.retractor: Final = Retractor(self._store, self._announcer, self._calls)

    @classmethod
    def from_url(cls, url: str, *, redis: str, prefix: str = "gn", **feed: Any) -> Self:
        """Return the feed in the Postgres at *url*, of the deployment in the Redis at *redis*.

        Further arguments are settings of the section ``feed``, such as ``password``.
        """
        return cls(settings_at(redis, prefix, {}, feed={"url": url, **feed}))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def publish(self, user: str, **fields: Unpack[PublicationFields]) -> FeedReceipt:
        """Put a notification into the feed of a user; return its receipt.

        A feed has a notification once, by its id: that of the ``idempotency_key``, the given
        ``notification_id``, or a new one. Raises `InvalidPublication`, or `FeedRefused` where
        Postgres does not store it. After `FeedUnavailable`, repeat the call with the
        ``notification_id`` of the error.
        """
        wanted = prepared(Publication.parse({"user": user, **fields}), self._most_bytes)
        return only_receipt(await self.publish_prepared([wanted]), wanted)

    async def publish_many(self, publications: Iterable[PublicationLike]) -> Receipts:
        """Put notifications into feeds in few round trips; return their receipts, in order.

        A refused publication does not affect the others. `FeedUnavailable` carries the receipts so
        far, with None for each unknown outcome. If *publications* raises, `SourceFailed` carries
        the receipts of those before that.
        """
        source, receipts = IntentSource(publications), OpenReceipts()
        while chunk := source.chunk():
            done = await self.publish_prepared(await self.prepare(chunk))
            if done.failure is not None:
                raise interruption(receipts, done, source)
            receipts += done.receipts
        return source.require_complete([one for one in receipts if one is not None])

    async def prepare(
        self, publications: Sequence[PublicationLike]
    ) -> Sequence[Prepared | FeedReceipt]:
        """Check publications, up to a thousand; one that is refused has its receipt already."""
        check = partial(all_prepared, publications, self._most_bytes)
        return await self._planner.run(check) if is_heavy(publications) else check()

    async def publish_prepared(self, wanted: Sequence[Prepared | FeedReceipt]) -> Outcomes:
        """Publish what was checked before; an outage is the failure of the answer."""
        return await self._calls.run(lambda: self._publisher.publish(wanted))

    async def list(
        self,
        user: str,
        *,
        limit: int = LIMIT,
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """Return a page of a user's items, the newest first, with the counts; *limit* is 1 to 200.

        *cursor* continues behind an earlier page. A page of large items is short, and a filtered
        one may also be empty, and have a cursor: it ends after a number of items looked at.
        """
        query = _list_query(limit, cursor, filters)
        return await self._read(partial(self._store.list, checked_user(user), query))

    async def counts(self, user: str) -> Counts:
        """Return how much of a user's feed is unread and unseen."""
        return await self._read(partial(self._store.counts, checked_user(user)))

    async def mark_read(
        self, user: str, ids: Ids | None = None, *, all: bool = False, until: str | None = None
    ) -> Counts:
        """Mark items as read, and so as seen, and return the counts.

        Either those with these *ids*, or *all*: those that are there when the call begins, or from
        the notification *until* downwards. The first time stays. Unknown ids, and ids of other
        users, change nothing.
        """
        return await self._change(user, selection(ids, all, until), "read")

    async def mark_unread(
        self, user: str, ids: Ids | None = None, *, all: bool = False, until: str | None = None
    ) -> Counts:
        """Mark items as unread, and return the counts; see `mark_read`."""
        return await self._change(user, selection(ids, all, until), "unread")

    async def mark_seen(
        self, user: str, ids: Ids | None = None, *, all: bool = False, until: str | None = None
    ) -> Counts:
        """Mark items as seen, and return the counts; see `mark_read`."""
        return await self._change(user, selection(ids, all, until), "seen")

    async def archive(
        self, user: str, ids: Ids | None = None, *, all: bool = False, until: str | None = None
    ) -> Counts:
        """Archive items, which no longer count, and return the counts; see `mark_read`."""
        return await self._change(user, selection(ids, all, until), "archive")

    async def mark_selected(self, user: str, mark: str, wanted: Selection) -> Counts | None:
        """Make a change that was checked before, and return the counts.

        *mark* is ``read``, ``unread``, ``seen`` or ``archive``. None where the one item that is
        named is not one of the user's.
        """
        only = wanted.only
        if only is not None and not await self._read(partial(self._store.has, user, only)):
            return None
        return await self._change(user, wanted, mark)

    async def retract(
        self, notification_id: str, *, users: Iterable[str] | None = None
    ) -> Retracted:
        """Take a notification back from the feeds and streams of all its users, or of *users*.

        For all of them, its waiting routes are cancelled too. It may come before the notification,
        which then is not shown. The answer says if it was *found*. Safe to repeat: raises
        `Unavailable` if Redis is away, and `FeedUnavailable` if Postgres is; the text says which
        half is done.
        """
        wanted = Target(checked_id(notification_id), None)
        named = checked_users(users)
        if named is None:
            return await self.retractor.retract(wanted, "client")
        return await self.retractor.retract_for(wanted, named)

    async def close(self) -> None:
        """Complete the calls in flight and close the connections; later calls `AlreadyClosed`."""
        await self._calls.close()
        await self._announcer.close()
        await self._store.close()

    async def _read(self, read: Callable[[], Awaitable[T]]) -> T:
        return await self._calls.run(lambda: tried(read))

    async def _change(self, user: str, wanted: Selection, mark: str) -> Counts:
        """Change items, then announce the counts."""
        checked_user(user)
        mark_some, mark_all = self._marks[mark]

        async def changed() -> Counts:
            if wanted.ids is None:
                counts = await tried(partial(mark_all, user, wanted.until))
            else:
                counts = await self._changed_some(user, wanted.ids, mark_some)
            await self._announcer.announce(News({user: counts}))
            return counts

        return await self._calls.run(changed)

    async def _changed_some(
        self,
        user: str,
        ids: Sequence[str],
        change: Callable[[str, Sequence[str]], Awaitable[Counts]],
    ) -> Counts:
        for at in range(0, len(ids), IDS_MAX):
            counts = await tried(partial(change, user, ids[at : at + IDS_MAX]))
        return counts if ids else await tried(partial(self._store.counts, user))


def _list_query(limit: int, cursor: str | None, filters: Filters) -> ListQuery:
    """Return a query of the store; raise `InvalidQuery`, or `TypeError` for an unknown filter."""
    if unknown := filters.keys() - Filters.__annotations__:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    return ListQuery(
        limit=checked_limit(limit),
        cursor=cursor,
        unread=bool(filters.get("unread")),
        types=checked_types(filters.get("type", ())),
        severity=checked_severity(filters.get("severity")),
        archived=bool(filters.get("archived")),
    )
