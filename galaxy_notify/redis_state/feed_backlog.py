"""The backlog of the feed: events that wait for Postgres out of the way of live delivery.

A group that does not read keeps the gateway stream from being trimmed, and a full stream is held.
So the entries that the feed's group still has, beyond half of ``gateway.max_len``, move to a stream
of their own. Its writers read that first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_client.stream_member import StreamMember, ask
from galaxy_notify.redis_state.feed_calls import (
    FEED_GROUP,
    WRITER_GONE_MS,
    Attended,
    MoveLimits,
    feed_ack,
    feed_attend,
    feed_move,
    read_attended,
    read_moved,
)
from galaxy_notify.redis_state.group import GroupMember, MarkLimits, Parking, event_park
from galaxy_notify.redis_state.group_report import StreamId, order_of
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.words import Word

#: Calls of each kind of one pass.
_CALLS: Final = 64


def backlog_keys(keys: Keys) -> Keys:
    """Return the keys of a shard with the backlog in place of its gateway stream."""
    return replace(keys, gateway_stream=keys.feed_backlog)


class BacklogMember(GroupMember):
    """One writer of the feed as a member of the backlog's group: what it has done is deleted.

    Every method raises `RedisFault`.
    """

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, consumer: str) -> None:
        super().__init__(client, backlog_keys(keys), FEED_GROUP, consumer)

    async def join(self) -> bool:
        """Make the group at its beginning unless it is there; True if it was made."""
        # What trimming took from a group of this name was taken from the gateway stream.
        return await StreamMember.join(self)

    async def finish(self, done: Mapping[str, str], limits: MarkLimits | None) -> None:
        """Acknowledge and delete entries; safe to repeat."""
        await run(self._client, feed_ack(self.keys, list(done)))

    async def park(self, item: Parking, most: int) -> str:
        """Put an entry aside with the reason, and delete it; safe to repeat."""
        call = event_park(self.keys, self.group, self.consumer, item, most, deletes=True)
        answer = await run(self._client, call)
        return answer.decode() if isinstance(answer, bytes) else str(answer)


def feed_members(
    client: redis.asyncio.Redis, keys: Keys, consumer: str
) -> tuple[GroupMember, BacklogMember]:
    """Return a consumer of the feed as a member of both of its groups on a shard."""
    return GroupMember(client, keys, FEED_GROUP, consumer), BacklogMember(client, keys, consumer)


class Distance:
    """How many entries the group is behind, counted once each; at most a page too many.

    The entries behind the position of the group are counted page by page. While the position moves
    on, the pages before it are dropped, so nothing is read twice.
    """

    def __init__(self) -> None:
        #: Ends of pages: an entry, and how many were counted up to it.
        self._ends: deque[tuple[StreamId, str, int]] = deque()

    @property
    def last(self) -> str:
        """Return the entry that was counted last; empty before the first."""
        return self._ends[-1][1] if self._ends else ""

    @property
    def entries(self) -> int:
        """Return how many entries the group is behind, as far as they were counted."""
        return self._ends[-1][2] - self._ends[0][2] if self._ends else 0

    def add(self, attended: Attended) -> None:
        """Take an answer of the server into the count."""
        if attended.position is None:
            self._ends.clear()
            return
        position = order_of(attended.position)
        if self._ends and position < self._ends[0][0]:
            # The group was set back: the next answer counts from there.
            self._ends.clear()
            return
        if not attended.goes_on or not self._ends:
            self._ends.clear()
            self._ends.append((position, attended.position, 0))
        if attended.counted:
            counted = self._ends[-1][2] + attended.counted
            self._ends.append((order_of(attended.last), attended.last, counted))
        while len(self._ends) > 1 and self._ends[1][0] <= position:
            self._ends.popleft()


class Pass(NamedTuple):
    """What one look at a shard found and did.

    *waiting* entries of the stream were left to the group, as far as they were counted, after
    *moved* were moved; *backlog* is the length of the backlog then, *is_full* that no more may be
    moved. *is_joined*: there is a group. *more*: entries were left that another pass moves.
    """

    waiting: int
    moved: int
    backlog: int
    is_full: bool
    is_joined: bool
    more: bool


class FeedBacklog:
    """Keeps the feed's group within half of the gateway stream of one shard.

    Its methods raise `RedisFault`.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, shared: SharedSettings, consumer: str
    ) -> None:
        self._client = client
        self._keys = keys
        self._consumer = consumer
        #: A stream that is never trimmed is never held either.
        self._most = None if shared.trim == "none" else shared.max_len // 2
        self._distance = Distance()

    async def attend(self, backlog_max: int) -> Pass:
        """Report this writer, and move what lies beyond half of the stream."""
        attended = await self._count(self._consumer)
        return await self._move(self._consumer, MoveLimits(backlog_max), attended)

    async def leave(self) -> None:
        """Remove this writer from those that live: it ends as it should."""
        await ask(self._client.zrem(self._keys.feed_writers, self._consumer))

    async def stand_in(self, backlog_max: int) -> Pass | None:
        """Move for writers where none has reported for a minute; None while one lives."""
        attended = await self._count("")
        if attended.has_living_writer:
            return None
        return await self._move("", MoveLimits(backlog_max, WRITER_GONE_MS), attended)

    async def _move(self, writer: str, limits: MoveLimits, attended: Attended) -> Pass:
        moved, backlog, is_full = 0, attended.backlog, False
        for _ in range(_CALLS):
            if (excess := self._excess) <= 0:
                break
            few = limits._replace(most=min(limits.most, excess))
            call = feed_move(self._keys, self._consumer, few)
            answer = read_moved(await run(self._client, call))
            moved, backlog = moved + answer.entries, answer.backlog
            is_full = answer.word == Word.FULL
            if not answer.entries:
                break
            attended = await self._count(writer)
        is_joined = attended.position is not None
        more = self._excess > 0 and not is_full
        return Pass(self._distance.entries, moved, backlog, is_full, is_joined, more)

    @property
    def _excess(self) -> int:
        """How many entries the group is behind beyond what it may be."""
        return 0 if self._most is None else self._distance.entries - self._most

    async def _count(self, writer: str) -> Attended:
        """Count until the end of the stream, or until the group is too far behind."""
        for _ in range(_CALLS):
            call = feed_attend(self._keys, writer, self._distance.last)
            attended = read_attended(await run(self._client, call))
            self._distance.add(attended)
            if not attended.more or self._excess > 0:
                break
        return attended
