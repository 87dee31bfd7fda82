"""A batch of events of the gateway stream, as rows of the feed.

An event may be written twice, by two writers too: user and notification id are unique in Postgres.
So nothing is remembered, and an event is acknowledged after the COMMIT of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

import msgpack

from galaxy_notify.errors import Corrupt, FeedRefused, FeedUnavailable
from galaxy_notify.feed.locked_users import LockedUsers
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.handler import LeftForLater
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.model.ids import parse_target
from galaxy_notify.model.live_event import live_event
from galaxy_notify.redis_client.async_retries import Stopped
from galaxy_notify.telemetry import Telemetry

_LOCKED: Final = LeftForLater("another transaction holds the lock of the user")
_STOPPED: Final = LeftForLater("stopped while Postgres was unavailable")


class Incoming(NamedTuple):
    """An event and the item that it is in the feed of its user."""

    event_id: str
    item: NewItem


class Written(NamedTuple):
    """What became of items: how many are new rows, which are refused, whose user is locked.

    *refused* are events with the reason; *counts* are those of all users but the *locked* ones.
    """

    new: int
    refused: Mapping[str, Corrupt]
    locked: frozenset[str]
    counts: Mapping[str, Counts]

    def __add__(self, other: object) -> Written:
        if not isinstance(other, Written):
            return NotImplemented
        # What was written later has the newer counts.
        return Written(
            self.new + other.new,
            {**self.refused, **other.refused},
            self.locked | other.locked,
            {**self.counts, **other.counts},
        )


_NOTHING: Final = Written(0, {}, frozenset(), {})


@dataclass(frozen=True)
class EventRows:
    """Writes batches of events into Postgres; all shards of a process share one."""

    store: FeedStore
    marks: Marks
    channels: frozenset[str]
    outage: PostgresOutage
    telemetry: Telemetry
    locked_users: LockedUsers = field(default_factory=LockedUsers)

    async def __call__(self, events: Sequence[Event]) -> Mapping[str, object]:
        """Write events; return those that were not written: id and reason.

        Events of other channels are passed over. While Postgres is away this waits: nothing is
        spent. Users that another transaction has locked are tried apart from all others, with
        growing pauses.
        """
        read = [(event.event_id, self._read(event)) for event in events]
        found = [one for _, one in read if isinstance(one, Incoming)]
        corrupt = {event_id: one for event_id, one in read if isinstance(one, Corrupt)}
        tried, left = self._chosen(found)
        try:
            written = await self._write(tried)
        except Stopped:
            return {**{one.event_id: _STOPPED for one in found}, **corrupt}
        locked = [one for one in tried if one.item.user_id in written.locked]
        left += [one for one in locked if one.event_id not in written.refused]
        self._count(len(found), len(left), len(corrupt), written)
        return {**{one.event_id: _LOCKED for one in left}, **corrupt, **written.refused}

    def _chosen(self, found: Sequence[Incoming]) -> tuple[list[Incoming], list[Incoming]]:
        """Return what to write now, and what to leave because of a lock."""
        locked = self.locked_users
        known = [one for one in found if one.item.user_id in locked]
        if len(known) < len(found):
            return [one for one in found if one.item.user_id not in locked], known
        due = {user for user in {one.item.user_id for one in known} if locked.is_due(user)}
        return (
            [one for one in known if one.item.user_id in due],
            [one for one in known if one.item.user_id not in due],
        )

    async def _write(self, tried: Sequence[Incoming]) -> Written:
        """Write items, publish the counts of their users; raise `Stopped`."""
        if not tried:
            return _NOTHING
        began = monotonic()
        written = await self._insert(tried)
        self.telemetry.feed_inserted(monotonic() - began)
        self.locked_users.add(written.locked)
        self.locked_users.discard({one.item.user_id for one in tried} - written.locked)
        # After COMMIT and before the acknowledgement: what is not published is found by the sweep.
        await self.marks.publish(written.counts)
        return written

    async def _insert(self, tried: Sequence[Incoming]) -> Written:
        """Insert items; where Postgres refuses one of them, each half by itself."""
        items = {(one.item.user_id, one.item.notification_id): one.item for one in reversed(tried)}
        insert = partial(self.store.insert, list(reversed(items.values())))
        try:
            done = await self.outage.answered(insert, writes=True)
        except FeedRefused as error:
            if len(items) == 1:
                return _NOTHING._replace(refused=dict.fromkeys(_ids(tried), Corrupt(str(error))))
        except FeedUnavailable:
            # A lock, and not one of a user: whoever adds the same user has not come to an end.
            if len(users := {one.item.user_id for one in tried}) == 1:
                return _NOTHING._replace(locked=frozenset(users))
        else:
            return Written(len(done.new), {}, done.blocked, done.counts)
        half = len(tried) // 2
        return await self._insert(tried[:half]) + await self._insert(tried[half:])

    def _count(self, found: int, left: int, corrupt: int, written: Written) -> None:
        refused = len(written.refused)
        self.telemetry.feed_events(
            {
                "written": written.new,
                "repeated": found - left - refused - written.new,
                "refused": refused + corrupt,
                "left": left,
            }
        )

    def _read(self, event: Event) -> Incoming | Corrupt | None:
        """Return an event as its row; None if the feed does not keep its channel."""
        target = parse_target(event.event_id)
        channel = (target.route_id or "").partition(":")[0] if target else ""
        if channel not in self.channels:
            return None
        try:
            payload = event.payload
            found = live_event(event.event_id, payload)
        except Corrupt as error:
            return error
        item = NewItem(
            event.user_id,
            found.notification_id,
            found.type,
            payload["producer"],
            found.severity,
            found.title,
            found.body,
            msgpack.packb(found.data),
            found.created_at_ms,
        )
        return Incoming(event.event_id, item)


def _ids(tried: Iterable[Incoming]) -> list[str]:
    return [one.event_id for one in tried]
