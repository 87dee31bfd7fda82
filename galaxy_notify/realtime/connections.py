"""The open connections of a process: their limits, keep-alive, and how each of them ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import shuffle, uniform
from time import monotonic, time
from typing import Final, NamedTuple

from galaxy_notify.realtime.connection import Connection, retry_ms
from galaxy_notify.realtime.message import Message
from galaxy_notify.realtime.tokens import TokenUser
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.settings.realtime import RealtimeSettings
from galaxy_notify.telemetry import Telemetry

#: Between two looks at all connections: for keep-alive, rotation and expiry.
_LOOK_S: Final = 1.0
_DRAIN_STEP_S: Final = 0.1
#: How much earlier or later than others a stream is rotated.
_SPREAD: Final = 0.2
#: After this a client that came too fast comes back at the latest.
_LATEST_RETRY_MS: Final = 60_000
#: Clients that read nothing are not waited for at a stop.
_LAST_WRITES_S: Final = 5.0


@dataclass
class ConnectRate:
    """Permits to connect: *per_s* come each second; those of one second are kept.

    Clients that got none are asked to come back one after the other, as fast as permits come.
    """

    per_s: int
    _left: float = field(init=False)
    _away: float = field(default=0.0, init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._left = float(self.per_s)
        self._at = monotonic()

    def take(self) -> float:
        """Return 0 if one more may connect now, otherwise after how many seconds it should."""
        now = monotonic()
        came = (now - self._at) * self.per_s
        self._left = min(float(self.per_s), self._left + came)
        self._away = max(0.0, self._away - came)
        self._at = now
        if self._left < 1:
            self._away += 1
            return self._away / self.per_s
        self._left -= 1
        return 0.0


class Refusal(NamedTuple):
    """Why a client may not connect now, and after how many ms it should try again."""

    reason: str
    retry_ms: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """When and why a connection ends, at the latest (monotonic clock)."""

    ends_at: float
    reason: str


class Connections:
    """Who is connected; ends connections that are too old, expired, or too many."""

    def __init__(self, settings: RealtimeSettings, telemetry: Telemetry) -> None:
        self._own = settings
        self._telemetry = telemetry
        self._rate = ConnectRate(settings.connects_per_s)
        self._entries: dict[Connection, _Entry] = {}
        # User -> the connections, oldest first.
        self._of_user: dict[str, dict[Connection, None]] = {}
        self._frames: Counter[str] = Counter()
        self._last_timed: Message | None = None
        self._latencies_s: list[float] = []
        self._stop = StopFlag()
        self._emptied = asyncio.Event()
        self.is_draining = False

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def users(self) -> int:
        """How many users have a connection."""
        return len(self._of_user)

    def refusal(self) -> Refusal | None:
        """Return why no client may connect now; None if one may, whose permit is then used up."""
        if self.is_draining:
            # Nothing has spread these clients.
            return Refusal("shutdown", retry_ms())
        if len(self._entries) >= self._own.max_connections:
            return Refusal("too_many", retry_ms("too_many"))
        if not (wait_s := self._rate.take()):
            return None
        # One who asks all the time is counted each time, and would send others away for hours.
        return Refusal("too_many", max(retry_ms(), min(_LATEST_RETRY_MS, round(wait_s * 1000))))

    def add(self, connection: Connection, user: TokenUser) -> None:
        """Take a connection; the oldest one of the user ends where there are too many."""
        age_s = self._own.max_age_ms / 1000 * uniform(1 - _SPREAD, 1 + _SPREAD)  # no secret
        expires = user.expires_in_s < age_s
        ends_at = monotonic() + min(age_s, user.expires_in_s)
        self._entries[connection] = _Entry(ends_at, "expired" if expires else "rotate")
        own = self._of_user.setdefault(user.name, {})
        own[connection] = None
        staying = [one for one in own if not one.end_reason]
        if len(staying) > self._own.streams_per_user:
            staying[0].end("too_many")

    def remove(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._entries.pop(connection, None)
        user = connection.stream.user
        own = self._of_user.get(user, {})
        own.pop(connection, None)
        if not own:
            self._of_user.pop(user, None)
        if self.is_draining and not self._entries:
            self._emptied.set()
        self._telemetry.stream_ended(connection.end_reason or "left")

    def sent(self, messages: Sequence[Message]) -> None:
        """Count messages that were written, and note how long an event took."""
        for message in messages:
            self._frames[message.kind] += 1
        newest = messages[-1]
        # An event of several streams is timed once: by the first of them.
        if newest.at_ms and newest is not self._last_timed:
            self._last_timed = newest
            self._latencies_s.append(max(0.0, time() - newest.at_ms / 1000))

    async def run(self) -> None:
        """Keep connections alive and end those whose time is over, until `stop`."""
        while not await self._stop.wait(_LOOK_S):
            self._look_at_all()
            self.flush()

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def flush(self) -> None:
        """Hand on what was counted."""
        for kind, count in self._frames.items():
            self._telemetry.stream_frames(kind, count)
        self._frames.clear()
        self._telemetry.stream_latencies(self._latencies_s)
        self._latencies_s.clear()

    async def drain(self) -> None:
        """End all connections over ``realtime.drain_ms``, and wait for their last writes."""
        self.is_draining = True
        if not self._entries:
            return
        drain_s, began = self._own.drain_ms / 1000, monotonic()
        left = list(self._entries)
        shuffle(left)
        count = len(left)
        while left:
            share = min(1.0, (monotonic() - began) / drain_s) if drain_s else 1.0
            while left and count - len(left) < share * count:
                left.pop().end("shutdown")
            if left:
                await asyncio.sleep(_DRAIN_STEP_S)
        for connection in list(self._entries):
            connection.end("shutdown")
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WRITES_S):
                await self._emptied.wait()
        for connection in list(self._entries):
            connection.abort()

    def _look_at_all(self) -> None:
        now = monotonic()
        ping_before = now - self._own.ping_ms / 1000
        for connection, entry in list(self._entries.items()):
            if connection.is_stalled(now):
                connection.abort()
            elif entry.ends_at <= now:
                connection.end(entry.reason)
            elif connection.wrote_at <= ping_before:
                connection.ping()
