"""Taking notifications back: their waiting routes, from the feeds, and from the streams of users.

A retraction is written wherever the notification is or will be, so the two may come in any order.
Redis and Postgres each have a half of it. Where one of them is away the other half is done all the
same, and the call, which fails, may be repeated.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from galaxy_notify.errors import CallFailed, FeedUnavailable, Misconfigured, Unavailable
from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.feed.calls import Calls, tried
from galaxy_notify.feed.opening import open_store
from galaxy_notify.intake.change import cancel_flow
from galaxy_notify.intake.recipients import recipients_flow
from galaxy_notify.live.placing import incoming
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.ids import Target
from galaxy_notify.model.live_event import Retraction
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import NO_DEPLOYMENT, RedisFault
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.feed_store.store import FeedStore
    from galaxy_notify.settings import Settings

#: Users whose streams get a retraction in one round trip: more would hold up Redis for others.
_TOGETHER: Final = 1000


class Retracted(NamedTuple):
    """What a retraction did, earlier ones included.

    It has reached all *users*; *counts* are those of their feeds. *found*: Redis or the feed knew
    the notification. *cancelled* routes of it were waiting.
    """

    users: Sequence[str]
    counts: Mapping[str, Counts]
    found: bool
    cancelled: int = 0


class _Known(NamedTuple):
    """What Redis knows of a notification: its users, None where it is unknown."""

    users: Sequence[str] | None = None
    cancelled: int = 0
    failure: CallFailed | None = None


class _InFeed(NamedTuple):
    """What a retraction did in the feed."""

    users: Sequence[str] = ()
    counts: Mapping[str, Counts] = {}
    found: bool = False
    failure: CallFailed | None = None


@dataclass(frozen=True)
class Retractor:
    """Retracts in one deployment, in one event loop; without a *store* it has no feed.

    A retraction that began is completed, whatever becomes of its caller.
    """

    store: FeedStore | None
    announcer: Announcer
    calls: Calls

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Return what retracts in the deployment of *settings*; it connects at the first call.

        Raises `ConfigurationError` where there is a feed and its extra is not installed.
        """
        store = open_store(settings) if settings.feed.url else None
        return cls(store, Announcer(settings), Calls(cls.__name__))

    async def close(self) -> None:
        """Complete the calls in flight and close the connections."""
        await self.calls.close()
        await self.announcer.close()
        if self.store is not None:
            await self.store.close()

    async def retract(self, target: Target, actor: str) -> Retracted:
        """Take a whole notification back from all its users, and cancel its waiting routes.

        Its users are those of its routes, and those whose feeds have it; *actor* is recorded in the
        routes. A notification of other producers than those of the target is not found. Raises
        `FeedUnavailable` or another `CallFailed`, whose text says which half is done.
        """
        return await self.calls.run(lambda: self._retract(target, actor))

    async def retract_for(self, target: Target, users: Sequence[str]) -> Retracted:
        """Take a notification back from some users, whether they have it yet or not.

        Raises as `retract`.
        """
        return await self.calls.run(lambda: self._retract_for(target.notification_id, users))

    async def _retract(self, target: Target, actor: str) -> Retracted:
        known = await self._cancel(target, actor)
        in_feed = await self._from_feeds(target, known.users)
        users = list(dict.fromkeys([*(known.users or ()), *in_feed.users]))
        failure = known.failure
        if users and failure is None:
            failure = await self._from_streams(target.notification_id, users, in_feed.counts)
        _refuse_half(target.notification_id, failure, in_feed.failure, bool(users))
        found = known.users is not None or in_feed.found
        return Retracted(users, in_feed.counts, found, known.cancelled)

    async def _retract_for(self, name: str, users: Sequence[str]) -> Retracted:
        in_feed = await self._of_feeds(name, users)
        failure = await self._from_streams(name, users, in_feed.counts)
        _refuse_half(name, failure, in_feed.failure, bool(users))
        return Retracted(users, in_feed.counts, in_feed.found)

    async def _cancel(self, target: Target, actor: str) -> _Known:
        """Cancel what waits, and read whose it is."""
        try:
            return await self.announcer.run(lambda keys: _cancelled(keys, target, actor))
        except RedisFault as fault:
            # Without a deployment nothing was ever accepted; a foreign key holds no record.
            nothing = fault.fault.code in (NO_DEPLOYMENT.code, "WRONGTYPE")
            return _Known(failure=None if nothing else failed_call(fault))
        except CallFailed as error:
            return _Known(failure=error)

    async def _from_feeds(self, target: Target, users: Sequence[str] | None) -> _InFeed:
        """Take it back from the feeds of these users and of all others who have it."""
        store = self.store
        if store is None:
            return _InFeed()
        name, producers = target.notification_id, target.producers
        try:
            others = await tried(lambda: store.recipients(name, producers))
        except CallFailed as error:
            return _InFeed(failure=error)
        everyone = {*(users or ()), *others}
        return await self._of_feeds(name, sorted(everyone)) if everyone else _InFeed()

    async def _of_feeds(self, name: str, users: Sequence[str]) -> _InFeed:
        store = self.store
        if store is None or not users:
            return _InFeed()
        try:
            done = await tried(lambda: store.retract(name, users))
        except CallFailed as error:
            return _InFeed(failure=error)
        return _InFeed(done.users, done.counts, done.found)

    async def _from_streams(
        self, name: str, users: Sequence[str], counts: Mapping[str, Counts]
    ) -> CallFailed | None:
        """Retract in the recent lists, and publish the counts; return why that failed."""
        at_ms = time.time_ns() // 1_000_000
        for at in range(0, len(users), _TOGETHER):
            some = users[at : at + _TOGETHER]
            events = [incoming(user, Retraction(name), at_ms) for user in some]
            own = {user: counts[user] for user in some if user in counts}
            fault = await self.announcer.announce(News(own, events))
            if fault is not None:
                return failed_call(fault)
        return None


def _cancelled(keys: KeySpace, target: Target, actor: str) -> Flow[_Known]:
    """Cancel what waits of a notification, and return whose it is."""
    # Read before, since the record may end with the last of its routes, and again behind it: parts
    # that were accepted until then may have been delivered.
    before = yield from recipients_flow(keys, target)
    done = yield from cancel_flow(keys, target, actor)
    after = yield from recipients_flow(keys, target)
    if before is None and after is None:
        return _Known(cancelled=done.cancelled)
    return _Known(list(dict.fromkeys([*(before or ()), *(after or ())])), done.cancelled)


def _refuse_half(
    name: str, streams: CallFailed | None, feed: CallFailed | None, reached: bool
) -> None:
    """Raise the failure of a half, with the half that is done in its text."""
    if streams is None and feed is None:
        return
    done = "nothing is retracted"
    if reached and not (streams and feed):
        done = f"retracted in the {'feed' if streams else 'streams'}, not in the "
        done += "streams" if streams else "feed"
    error: Any = streams or feed
    reason = f"Redis is unavailable: {error}" if type(error) is Unavailable else str(error)
    kind: type[CallFailed] = FeedUnavailable if error is feed else Unavailable
    if isinstance(error, Misconfigured):
        kind = Misconfigured
    raise kind(f"{done}; repeat it: {reason}", name, code=error.code) from error.__cause__
