"""Where the users of this instance are in their recent lists: on connect, and ever after.

Presence makes other instances tell this one of events. A telling that is lost costs time, never
the event: each renewal of the presence answers the tops of the lists, and what is ahead of a stream
is read. Users who connect at the same time share a round trip, so a reconnect storm is few calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import redis.asyncio

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.model.live_event import unpack_live_event
from galaxy_notify.realtime.message import Message, notification
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import (
    Missed,
    RecentPlace,
    StoredEvent,
    presence_attend,
    read_here,
    read_logouts,
    read_missed,
    recent_read,
)
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

T = TypeVar("T")
#: Users of one call; places of one call, each with a page of events.
_USERS: Final = 250
_PLACES: Final = 64
#: The most events of one page.
_PAGE: Final = 32


class Read(NamedTuple):
    """What a user missed, as messages; see `Missed`."""

    word: str
    top: Cursor
    messages: Sequence[Message]


class Attended(NamedTuple):
    """What holds for a user who is here.

    *top* is the newest event of the recent list. Tokens that were issued until *logout_ms* (since
    1970) are void; 0 where the user was not logged out. *counts* are those of the unread mark; None
    without one.
    """

    top: Cursor
    logout_ms: int
    counts: Counts | None = None


@dataclass(frozen=True)
class Attendance:
    """The presence of this instance, and what it reads of recent lists. Raises `RedisFault`."""

    client: redis.asyncio.Redis
    key_space: KeySpace
    instance: str
    ttl_ms: int
    history: int
    #: What a client's buffer holds: a page fills half of it at most.
    buffer_events: int = 2 * _PAGE

    async def attend(self, users: Sequence[str]) -> Mapping[str, Attended]:
        """Note that users are here, and return what holds for them.

        A user whose presence was refused, or whose node did not answer while others did, is
        missing from the answer.
        """
        parts = [
            (keys, some)
            for keys, names in self._by_shard(users).items()
            for some in slices(names, _USERS)
        ]
        replies = await self._ask(
            call
            for keys, some in parts
            for call in (
                presence_attend(keys, self.instance, some, self.ttl_ms),
                Command(["MGET", *map(keys.logout, some)]),
            )
        )
        attended: dict[str, Attended] = {}
        for (_, some), here, logouts in zip(parts, replies[::2], replies[1::2], strict=True):
            if isinstance(here, RedisFault) or isinstance(logouts, RedisFault):
                continue
            rows = zip(some, read_here(here, len(some)), read_logouts(logouts), strict=True)
            attended |= {
                user: Attended(found.top, at, found.counts) for user, found, at in rows if found
            }
        return attended

    async def leave(self, users: Sequence[str]) -> None:
        """Note that users are no longer here."""
        calls = [
            Command(["ZREM", keys.presence(user), self.instance])
            for keys, some in self._by_shard(users).items()
            for user in some
        ]
        for some in slices(calls, _USERS):
            await run_all(self.client, some)

    async def read(self, places: Sequence[RecentPlace]) -> Sequence[Read | RedisFault]:
        """Read a page of events behind each place; a fault concerns its place alone."""
        by_shard: dict[Keys, list[RecentPlace]] = {}
        for place in places:
            by_shard.setdefault(self.key_space.keys_of_user(place.user), []).append(place)
        parts = [(k, some) for k, found in by_shard.items() for some in slices(found, _PLACES)]
        page = min(_PAGE, self.buffer_events // 2)
        calls = [recent_read(k, some, most=self.history, count=page) for k, some in parts]
        answers: dict[RecentPlace, Read | RedisFault] = {}
        for (_, some), reply in zip(parts, await run_all(self.client, calls), strict=True):
            if isinstance(reply, RedisFault):
                answers |= dict.fromkeys(some, reply)
            else:
                answers |= zip(some, map(_as_messages, read_missed(reply, len(some))), strict=True)
        return [answers[place] for place in places]

    async def _ask(self, calls: Iterable[ScriptCall | Command]) -> list[object]:
        """Return replies, or faults where only some of the nodes of a cluster did not answer."""
        replies = await run_all(self.client, list(calls))
        faults = [reply for reply in replies if isinstance(reply, RedisFault)]
        if faults and len(faults) == len(replies):
            raise faults[0]
        if any(one.fault.remedy is Remedy.RESOLVE for one in faults):
            # Another node may serve its slots by now. That it is not found costs nobody else.
            with suppress(RedisFault):
                await refresh_primary(self.client)
        return replies

    def _by_shard(self, users: Iterable[str]) -> Mapping[Keys, list[str]]:
        found: dict[Keys, list[str]] = {}
        for user in users:
            found.setdefault(self.key_space.keys_of_user(user), []).append(user)
        return found


def _as_messages(missed: Missed) -> Read:
    try:
        return Read(missed.word, missed.top, [_message(event) for event in missed.events])
    except Corrupt:
        # A list that another program wrote to: its client must not believe that it has all.
        return Read(Word.TRIMMED, missed.top, ())


def _message(event: StoredEvent) -> Message:
    return notification(unpack_live_event(event.packed), event.cursor)


def slices(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    """Return items in parts of at most *size*."""
    return (items[at : at + size] for at in range(0, len(items), size))
