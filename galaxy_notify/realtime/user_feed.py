"""The feeds of users in their own hands: list, count, mark; over HTTP and over WebSockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from galaxy_notify.errors import (
    AlreadyClosed,
    CallFailed,
    ConfigurationError,
    FeedUnavailable,
    InvalidQuery,
)
from galaxy_notify.feed.asked import LIMIT, Selection
from galaxy_notify.feed.opening import open_feed
from galaxy_notify.model.feed import Counts
from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.stream import Stream
from galaxy_notify.realtime.turns import Turns
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.web.problems import Problem, fault, retry_after

if TYPE_CHECKING:
    # They need psycopg, and a deployment may have no feed.
    from galaxy_notify.feed.async_feed import AsyncFeed
    from galaxy_notify.feed_store.listing import Page
    from galaxy_notify.settings import Settings

#: Calls at the same time, of all users and of one of them; a few of them are in Postgres.
_MOST: Final = 256
_MOST_OF_USER: Final = 32


class PageQuery(NamedTuple):
    """Which items a user asks for; see `AsyncFeed.list`."""

    limit: int = LIMIT
    cursor: str | None = None
    unread: bool = False
    types: Sequence[str] = ()
    severity: str | None = None
    archived: bool = False


class UserFeed:
    """What users may do with their own feeds. Every call raises a `Problem`.

    The streams of the user on this process are sent counts that are new at once; all others get
    them through Redis.
    """

    def __init__(self, feed: AsyncFeed, telemetry: Telemetry) -> None:
        self._feed = feed
        self._telemetry = telemetry
        self._turns = Turns(_MOST, _MOST_OF_USER)
        #: The users who are connected here; None while the deployment is not known yet.
        self.hub: Hub | None = None
        self._edges = EdgeLog(
            get_logger("realtime"), "postgres unavailable", "postgres available again"
        )

    async def page(self, user: str, query: PageQuery) -> Page:
        """Return a page of the user's items."""
        filters = query._asdict()
        filters["type"] = filters.pop("types")
        async with self._call("page", self._turns.reading(user)):
            page = await self._feed.list(user, **filters)
        self._tell(user, page.counts)
        return page

    async def counts(self, user: str) -> Counts:
        """Return how much of the user's feed is unread and unseen."""
        async with self._call("counts", self._turns.reading(user)):
            counts = await self._feed.counts(user)
        self._tell(user, counts)
        return counts

    async def mark(self, user: str, mark: str, wanted: Selection, at: str = "") -> Counts:
        """Mark items as read, unread or seen, or archive them; return the counts.

        Of several ids those that the user does not have change nothing. One that is named by
        itself must be there, and so must ``until``. *at* is where the client named it.
        """
        async with self._call(mark, self._turns.changing(user)):
            counts = await self._feed.mark_selected(user, mark, wanted)
            if counts is None:
                raise _not_found(_field("until" if wanted.ids is None else "ids[0]", at))
        self._tell(user, counts)
        return counts

    async def mark_for(self, stream: Stream, mark: str, wanted: Selection) -> None:
        """Mark items for the client of a stream, which is sent the counts; see `mark`."""
        before = self.hub.counts_of(stream.user) if self.hub else None
        await self.mark(stream.user, mark, wanted, at=mark)
        if self.hub is not None:
            self.hub.repeat_counts(stream, before)

    async def close(self) -> None:
        """Complete the calls in flight and close the connections."""
        await self._feed.close()

    def _tell(self, user: str, counts: Counts) -> None:
        if self.hub is not None:
            self.hub.receive_counts(user, counts)

    @asynccontextmanager
    async def _call(
        self, call: str, turn: AbstractAsyncContextManager[None]
    ) -> AsyncIterator[None]:
        """Hold a turn, and count what became of the call."""
        began, result = monotonic(), "ok"
        try:
            async with turn:
                with self._problems():
                    yield
        except Problem as problem:
            result = problem.kind
            raise
        finally:
            self._telemetry.feed_called(call, result, monotonic() - began)

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Turn errors into problems, which do not say where Postgres is: anybody may read them."""
        try:
            yield
        except InvalidQuery as error:
            raise invalid(error) from None
        except AlreadyClosed:
            raise _away("unavailable", "the gateway is stopping") from None
        except FeedUnavailable as error:
            self._edges.down(error.code, str(error))
            kind = "busy" if error.code == "busy" else "unavailable"
            raise _away(kind, f"the feed is unavailable: {error.code}") from error
        except ConfigurationError as error:
            code = error.code if isinstance(error, CallFailed) else "configuration"
            self._edges.down(code, str(error))
            detail = "the feed cannot be used: see the log of the gateway"
            raise Problem("misconfigured", detail) from error
        else:
            self._edges.up()


def open_user_feed(settings: Settings, telemetry: Telemetry) -> UserFeed | None:
    """Return the feeds of users; None where the settings name no feed, or no users are served.

    Raises `ConfigurationError` where the extra is not installed.
    """
    feed = open_feed(settings) if settings.realtime.serve else None
    return UserFeed(feed, telemetry) if feed else None


def invalid(error: InvalidQuery, at: str = "") -> Problem:
    """Return the problem (422) of what a client asked for; *at* is where its fields are."""
    field = _field(error.field, at)
    detail = f"{field}: {error.message}" if field else error.message
    return Problem("invalid", detail, [fault(field, error.message)])


def _field(name: str, at: str) -> str:
    return f"{at}.{name}" if at and name else at or name


def _not_found(field: str) -> Problem:
    message = "is not in the feed of this user"
    return Problem("not-found", f"{field}: {message}", [fault(field, message, "not_found")])


def _away(kind: str, detail: str) -> Problem:
    return Problem(kind, detail, (), retry_after(retry_ms()))
