"""Clients that come and go: their first messages, then they are live; the last one's presence.

The order closes every gap: the stream is in the hub first, so that what comes meanwhile is noticed;
then the presence is noted, so that others tell of it; then the list is read. Whatever was delivered
before the presence is in the list, and whatever came after it was told.

Coming and going share one loop, so that a user who comes back is never removed by the call that
follows from an earlier departure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.realtime.attendance import Attendance, Read
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import hello, reset
from galaxy_notify.realtime.stream import Stream
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.recent import RecentPlace
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry import Telemetry

#: Clients of one round trip. More wait for the next, so that what they missed fits into memory.
_TOGETHER: Final = 250


class Arrival(NamedTuple):
    """A client that connects, with the cursor that it sent."""

    stream: Stream
    cursor: Cursor | None


class Arrivals:
    """Those who have connected since the last round trip began share the next one."""

    def __init__(self, attendance: Attendance, hub: Hub, telemetry: Telemetry) -> None:
        self._attendance = attendance
        self._hub = hub
        self._telemetry = telemetry
        self._waiting: list[Arrival] = []
        self._left: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, arrival: Arrival) -> None:
        """Have a client begin as soon as Redis has answered."""
        self._hub.add(arrival.stream)
        self._waiting.append(arrival)
        self._changed.set()

    def remove(self, stream: Stream) -> None:
        """Forget a client; with the last one of a user the presence of the user ends."""
        if self._hub.remove(stream):
            self._left.add(stream.user)
            self._changed.set()

    @property
    def left(self) -> Collection[str]:
        """The users who have left, and whose presence may not have ended yet."""
        return tuple(self._left)

    def renewed(self, users: Iterable[str]) -> None:
        """End the presence of users who left while it was renewed."""
        if gone := [user for user in users if not self._hub.streams_of(user)]:
            self._left.update(gone)
            self._changed.set()

    async def wait(self) -> None:
        """Wait until a client has come or gone."""
        await self._changed.wait()

    def again(self) -> None:
        """End `wait`: clients whose presence was refused wait, or the process stops."""
        self._changed.set()

    async def settle(self) -> bool:
        """End the presence of those who left, and begin the streams of those who wait.

        Return whether all of them began: where Redis refused to note the presence of a user, its
        clients wait for the next call. Raises `RedisFault`, then all do.
        """
        self._changed.clear()
        await self._end_presence()
        # Those who come meanwhile are appended.
        self._waiting = here = [one for one in self._waiting if self._hub.has(one.stream)]
        batch = here[:_TOGETHER]
        refused = await self._admit(batch)
        # Those who were refused never keep others from their turn.
        self._waiting = [*self._waiting[len(batch) :], *refused]
        if len(self._waiting) > len(refused):
            self._changed.set()
        return not refused

    async def _end_presence(self) -> None:
        left = [user for user in self._left if not self._hub.streams_of(user)]
        # Those who leave meanwhile, or whose presence is renewed, are the next call's.
        self._left.clear()
        try:
            await self._attendance.leave(left)
        except RedisFault:
            self._left.update(left)
            raise

    async def _admit(self, batch: Sequence[Arrival]) -> Sequence[Arrival]:
        """Begin streams; return those whose presence was refused."""
        attended = await self._attendance.attend(sorted({one.stream.user for one in batch}))
        begun = [one for one in batch if one.stream.user in attended]
        places = {RecentPlace(a.stream.user, a.cursor) for a in begun if a.cursor is not None}
        reads = dict(zip(places, await self._attendance.read(tuple(places)), strict=True))
        for arrival in begun:
            user, cursor = arrival.stream.user, arrival.cursor
            read = reads[RecentPlace(user, cursor)] if cursor is not None else None
            self._hub.receive_counts(user, attended[user].counts)
            if arrival.stream.issued_at * 1000 <= attended[user].logout_ms:
                arrival.stream.end("logout")
            else:
                self._begin(arrival, attended[user].top, read)
        return [one for one in batch if one.stream.user not in attended]

    def _begin(self, arrival: Arrival, top: Cursor, read: Read | RedisFault | None) -> None:
        stream, cursor = arrival
        counts = self._hub.counts_of(stream.user)
        if read is None or cursor is None:
            stream.start(hello(top, resumed=False, counts=counts), top)
            self._telemetry.stream_began("new")
        elif isinstance(read, RedisFault):
            # Only this list cannot be read now: the client is behind its cursor, and waits.
            stream.start(hello(cursor, resumed=True, counts=counts), cursor)
            self._telemetry.stream_began("resumed")
        elif read.word == Word.READ:
            stream.start(hello(cursor, resumed=True, counts=counts), cursor)
            stream.catch_up(read.messages)
            self._telemetry.stream_began("resumed")
        else:
            stream.start(hello(read.top, resumed=False, counts=counts), read.top)
            stream.put(reset(read.word, read.top))
            self._telemetry.stream_began("reset")
            self._telemetry.stream_reset(read.word)
        self._hub.go_live(stream)
        self._hub.compare(stream.user, top)
