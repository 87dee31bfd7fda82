"""The feeds of users for programs without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from galaxy_notify.feed.async_feed import AsyncFeed
from galaxy_notify.feed.loop_thread import LoopThread
from galaxy_notify.feed.opening import open_store
from galaxy_notify.feed.prepared import Prepared, all_prepared
from galaxy_notify.feed.publisher import OpenReceipts, Outcomes, Receipts, interruption
from galaxy_notify.feed.queue_target import FeedTarget
from galaxy_notify.feed.receipts import FeedReceipt
from galaxy_notify.intake.source import IntentSource
from galaxy_notify.model.not_copied import NotCopied
from galaxy_notify.model.publication import PublicationLike
from galaxy_notify.redis_client.access import settings_at

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

T = TypeVar("T")
P = ParamSpec("P")


def _waited_for(
    call: Callable[Concatenate[AsyncFeed, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Feed, P], T]:
    """Return a call of `AsyncFeed` as one of `Feed`."""

    @wraps(call)
    def waited(self: Feed, /, *args: P.args, **options: P.kwargs) -> T:
        return self._loop.call(lambda feed: call(feed, *args, **options))

    return waited


class Feed(NotCopied):
    """`AsyncFeed` without await: the same arguments, values and errors.

    Safe to share between threads. A call that is interrupted, such as by Ctrl-C, is completed all
    the same. After a fork the child process has connections of its own.
    """

    # The work is written once, for asyncio, and runs in a thread of its own.

    def __init__(self, settings: Settings) -> None:
        """Prepare to connect by *settings*; nothing is sent before the first call.

        Raises `ConfigurationError` without ``feed.url``.
        """
        open_store(settings)
        self._most_bytes = settings.limits.max_payload_bytes
        self._loop = LoopThread(type(self).__name__, lambda: AsyncFeed(settings))

    @classmethod
    def from_url(cls, url: str, *, redis: str, prefix: str = "gn", **feed: Any) -> Self:
        """Return the feed in the Postgres at *url*, of the deployment in the Redis at *redis*.

        Further arguments are settings of the section ``feed``, such as ``password``.
        """
        return cls(settings_at(redis, prefix, {}, feed={"url": url, **feed}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    publish = _waited_for(AsyncFeed.publish)
    list = _waited_for(AsyncFeed.list)
    counts = _waited_for(AsyncFeed.counts)
    mark_read = _waited_for(AsyncFeed.mark_read)
    mark_unread = _waited_for(AsyncFeed.mark_unread)
    mark_seen = _waited_for(AsyncFeed.mark_seen)
    archive = _waited_for(AsyncFeed.archive)
    retract = _waited_for(AsyncFeed.retract)

    def publish_many(self, publications: Iterable[PublicationLike]) -> Receipts:
        """Put notifications into feeds; see `AsyncFeed.publish_many`."""
        # They are read and checked here: that runs code of the caller, which may call this feed.
        source, receipts = IntentSource(publications), OpenReceipts()
        while chunk := source.chunk():
            done = self.publish_prepared(all_prepared(chunk, self._most_bytes))
            if done.failure is not None:
                raise interruption(receipts, done, source)
            receipts += done.receipts
        return source.require_complete([one for one in receipts if one is not None])

    def publish_prepared(self, wanted: Iterable[Prepared | FeedReceipt]) -> Outcomes:
        """Publish what was checked before; an outage is the failure of the answer."""
        given = [*wanted]
        return self._loop.call(lambda feed: feed.publish_prepared(given))

    @property
    def queue_target(self) -> FeedTarget:
        """What `BackgroundNotifier` sends its queue to with ``target=`` this feed."""
        return FeedTarget(self.publish_prepared, self._most_bytes)

    def close(self) -> None:
        """Complete the calls in flight and close the connections; later calls `AlreadyClosed`."""
        self._loop.close()
