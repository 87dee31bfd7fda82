"""The entries that a consumer was given on one shard and has not brought to an end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from math import inf

from galaxy_notify.redis_client.stream_member import Entry, StreamMember


class InHand:
    """Knows what is in hand, and for how long it is out of reach of other consumers."""

    def __init__(self, member: StreamMember, longest_s: float) -> None:
        """Prepare; *longest_s* may pass from a read to the start of the handler."""
        self._member = member
        self._longest_s = longest_s
        #: Stream id → how often the entry was delivered, with this time.
        self._deliveries: dict[str, int] = {}
        self._kept_at = -inf
        self._seen: set[str] = set()

    def __contains__(self, stream_id: str) -> bool:
        return stream_id in self._deliveries

    def add(self, entries: Iterable[Entry]) -> None:
        """Record entries that came."""
        self._deliveries |= {entry.stream_id: entry.deliveries for entry in entries}

    def discard(self, stream_ids: Iterable[str]) -> None:
        """Forget entries that have come to an end."""
        for stream_id in stream_ids:
            self._deliveries.pop(stream_id, None)

    def is_late(self, read_at: float) -> bool:
        """Return whether what was read at this time may no longer be given to the handler."""
        return time.monotonic() - max(read_at, self._kept_at) > self._longest_s

    async def give_back(self, stream_ids: Iterable[str]) -> None:
        """Leave entries to a later delivery, as if they had not come; raises `RedisFault`."""
        counts = self._deliveries
        await self._member.retain({name: counts[name] - 1 for name in stream_ids if name in counts})

    async def keep(self) -> None:
        """Claim all entries for longer, as if none had been delivered; raises `RedisFault`."""
        began = time.monotonic()
        await self._member.retain({name: count - 1 for name, count in self._deliveries.items()})
        self._kept_at = began

    async def keep_long_held(self) -> None:
        """Claim all entries for longer if some were here at the last call; raises `RedisFault`."""
        seen, self._seen = self._seen, set(self._deliveries)
        if not seen.isdisjoint(self._deliveries):
            await self.keep()
