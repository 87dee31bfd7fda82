"""The serving half of a gateway process: its users, its inbox, and what keeps both true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

import redis.asyncio

from galaxy_notify.errors import Corrupt
from galaxy_notify.feed.marks import Marks
from galaxy_notify.model.live_event import unpack_live_event
from galaxy_notify.realtime.arrivals import Arrival, Arrivals
from galaxy_notify.realtime.attendance import Attendance, slices
from galaxy_notify.realtime.hub import Hub
from galaxy_notify.realtime.message import notification, pushed, status
from galaxy_notify.realtime.stream import Stream
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped, together
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_state.inbox import Inbox, InboxItem, Logout, Push, Telling
from galaxy_notify.redis_state.recent import RecentPlace
from galaxy_notify.redis_state.unread import UserCounts
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    # It needs psycopg, and a deployment may have no feed.
    from galaxy_notify.feed.missing_marks import MissingMarks

#: The presence of all users is renewed three times in its time to live.
_RENEW_SHARE: Final = 1 / 3
_BLOCK_MS: Final = 500
_ENTRIES: Final = 256
#: Users whose presence is renewed by one call.
_RENEWED: Final = 1000
#: Tellings, and bytes of events, that are given out before clients are written to: the buffer of a
#: client that reads never fills up, since it holds eight messages at least.
_GIVEN, _GIVEN_BYTES = 8, 1 << 15
#: Places that are read in one round trip: what they answer fits into memory.
_READ_TOGETHER: Final = 250
#: A list that could not be read is read again after this.
_AGAIN_S: Final = 1.0


class Instance:
    """Gives the users of one process their events, for as long as `run` runs."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        attendance: Attendance,
        reorder_s: float,
        telemetry: Telemetry,
        missing: MissingMarks | None = None,
    ) -> None:
        """Prepare; *missing* makes the unread marks that users here lack."""
        self.hub = Hub(reorder_s, self._wake, missing.ask if missing else bool)
        self._missing = missing
        self._attendance = attendance
        self._telemetry = telemetry
        self._renew_s = attendance.ttl_ms / 1000 * _RENEW_SHARE
        self._arrivals = Arrivals(attendance, self.hub, telemetry)
        self._inbox = Inbox(client, attendance.key_space.prefix, attendance.instance)
        self._client = client
        self._stop = stop = StopFlag()
        self._unsure = asyncio.Event()
        self._renew_soon = asyncio.Event()
        self._is_live = True
        self._log = get_logger("realtime", instance=attendance.instance)
        log, stagger = OutageLog(EdgeLog(self._log)), Stagger()
        self._retry_listen, self._retry_renew, self._retry_admit, self._retry_read = (
            RetryUntilStopped(stop, log, stagger, self._recover) for _ in range(4)
        )

    def arrive(self, arrival: Arrival) -> None:
        """Have a stream begin as soon as Redis answers; until then it is told that it waits."""
        self._arrivals.add(arrival)
        if not self._is_live:
            arrival.stream.put(status(live=False))

    def depart(self, stream: Stream) -> None:
        """Forget a stream; the presence of its user ends with the last one."""
        self._arrivals.remove(stream)

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()
        if self._missing is not None:
            self._missing.stop()
        self._unsure.set()
        self._renew_soon.set()
        self._arrivals.again()

    async def run(self) -> None:
        """Serve until `stop`."""
        try:
            await _until_stopped(self._serve())
        finally:
            await self._leave()

    async def _serve(self) -> None:
        # Without an inbox nobody may be told that users are here.
        await self._retry_listen(self._inbox.renew)
        loops = [self._listen(), self._renew(), self._admit(), self._read()]
        if self._missing is not None:
            marks = Marks(self._client, self._attendance.key_space)
            loops.append(self._missing.run(marks, self.hub.receive_counts))
        await together(self._stop, *(_until_stopped(loop) for loop in loops))

    async def _listen(self) -> None:
        while not self._stop:
            page = await self._retry_listen(lambda: self._inbox.read(_BLOCK_MS, _ENTRIES))
            self._stop.beat()
            if not self._is_live:
                # What was told meanwhile may be lost, and the inbox with it. That it can be read
                # says little: a server that refuses writes answers reads.
                await self._retry_listen(self._inbox.renew)
                self._set_live(live=True)
                self._renew_soon.set()
            if page.unread:
                self._log.warning("unreadable entries in the inbox", entries=page.unread)
            await self.receive(page.entries)

    async def receive(self, entries: Iterable[InboxItem]) -> None:
        """Give what came into the inbox to those of the users who are here."""
        given = size = 0
        for entry in entries:
            if not self.hub.streams_of(entry.user):
                continue
            size += self._give(entry)
            given += 1
            if given == _GIVEN or size > _GIVEN_BYTES:
                given = size = 0
                await asyncio.sleep(0)

    def _give(self, entry: InboxItem) -> int:
        """Give an entry to the streams of its user, and return its size in bytes."""
        match entry:
            case Telling():
                self._give_event(entry)
                return len(entry.packed)
            case Push():
                message = pushed(entry.type, entry.data)
                for stream in self.hub.streams_of(entry.user):
                    # Nothing comes before the greeting of a stream.
                    if stream.is_live:
                        stream.put(message)
                return len(message.data)
            case Logout():
                self._log_out(entry.user, entry.at_ms)
            case UserCounts():
                self.hub.receive_counts(*entry)
        return 0

    def _give_event(self, telling: Telling) -> None:
        user, cursor, packed, at_ms, before = telling
        try:
            message = notification(unpack_live_event(packed), cursor, at_ms, before)
        except Corrupt as error:
            self._log.warning("unreadable event in the inbox", reason=str(error))
            return
        self.hub.receive(user, message)

    def _log_out(self, user: str, at_ms: int) -> None:
        """End the streams whose tokens were issued until then."""
        for stream in self.hub.streams_of(user):
            if stream.issued_at * 1000 <= at_ms:
                stream.end("logout")

    async def _renew(self) -> None:
        """Renew the presence of all users, and read what none of the tellings said."""
        pause_s = self._renew_s
        while not self._stop:
            await _wait_for(self._renew_soon, pause_s)
            self._renew_soon.clear()
            began = monotonic()
            await self._retry_renew(self._inbox.renew)
            parts = list(slices(self.hub.users, _RENEWED))
            for some in parts:
                attended = await self._retry_renew(partial(self._attendance.attend, some))
                for user, found in attended.items():
                    self.hub.compare(user, found.top)
                    self._log_out(user, found.logout_ms)
                    self.hub.receive_counts(user, found.counts)
                self._arrivals.renewed(attended)
                # All at once would hold up Redis for others.
                if some is not parts[-1] and await self._stop.wait(self._renew_s / 2 / len(parts)):
                    return
            # What nobody tells of is late by this period, not by the pause after the last call.
            pause_s = max(0.0, self._renew_s - (monotonic() - began))

    async def _admit(self) -> None:
        while not self._stop:
            await self._arrivals.wait()
            if self._stop:
                return
            if not await self._retry_admit(self._arrivals.settle):
                await self._stop.wait(_AGAIN_S)
                self._arrivals.again()

    async def _read(self) -> None:
        while not self._stop:
            pause_s = self.hub.due_in_s()
            if pause_s is None or pause_s > 0:
                self._unsure.clear()
                await _wait_for(self._unsure, pause_s)
                continue
            for places in slices(self.hub.due(), _READ_TOGETHER):
                await self._read_places(places)

    async def _read_places(self, places: Sequence[RecentPlace]) -> None:
        reads = await self._retry_read(lambda: self._attendance.read(places))
        for place, read in zip(places, reads, strict=True):
            if isinstance(read, RedisFault):
                self.hub.again([place], _AGAIN_S)
            elif resets := self.hub.catch_up(place, read.word, read.top, read.messages):
                self._telemetry.stream_reset(read.word, resets)

    def _wake(self) -> None:
        self._unsure.set()

    async def _recover(self, fault: Fault) -> bool:
        self._set_live(live=False)
        if fault.remedy is Remedy.RESOLVE:
            await refresh_primary(self._client)
        return False

    def _set_live(self, *, live: bool) -> None:
        """Tell all clients once that events are late, or no longer."""
        if live == self._is_live:
            return
        self._is_live = live
        for user in self.hub.users:
            for stream in self.hub.streams_of(user):
                stream.put(status(live=live))

    async def _leave(self) -> None:
        """Remove the inbox and the presence of all; what cannot be removed lapses."""
        try:
            await self._inbox.close()
            await self._attendance.leave([*self.hub.users, *self._arrivals.left])
        except RedisFault as error:
            self._log.info("presence left to expire", reason=error.fault.reason)


async def _until_stopped(loop: Awaitable[None]) -> None:
    with suppress(Stopped):
        await loop


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
