"""What becomes of an event after its handler: acknowledged, parked, or delivered again."""

from __future__ import annotations

import asyncio

from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.gateway.persistence import Persistence
from galaxy_notify.redis_state.group import (
    FINISH_MAX,
    Entry,
    GroupMember,
    MarkLimits,
    Parking,
)
from galaxy_notify.telemetry.logs import get_logger


class Settling:
    """Ends deliveries on one shard; what is handled at the same time shares a round trip."""

    def __init__(self, member: GroupMember, options: ConsumerOptions, insist: Persistence) -> None:
        self._member = member
        self._options = options
        self._limits = MarkLimits(round(options.marks_ttl_s * 1000), options.marks_max)
        self._insist = insist
        self._sending = asyncio.Lock()
        self._done: dict[str, str] = {}
        self._log = get_logger("gateway", group=member.group, shard=member.keys.shard)

    def holds(self, stream_id: str) -> bool:
        """Tell whether an entry was handled and is not acknowledged yet."""
        return stream_id in self._done

    async def finish(self, event: Event) -> None:
        """Mark an event as handled and acknowledge it."""
        self._done[event.stream_id] = event.event_id
        async with self._sending:
            while event.stream_id in self._done:
                await self._send()

    async def flush(self) -> None:
        """Acknowledge what an interrupted finish left."""
        async with self._sending:
            while self._done:
                await self._send()

    async def park(self, entry: Entry, reason: str) -> None:
        """Put an entry aside that can't be handled."""
        item = Parking(entry.stream_id, entry.deliveries, reason)
        word = await self._insist(lambda: self._member.park(item, self._options.parked_max))
        if word == "parked":
            self._log.error(
                "event parked",
                stream_id=entry.stream_id,
                deliveries=entry.deliveries,
                reason=reason,
            )

    async def _send(self) -> None:
        batch = dict(list(self._done.items())[:FINISH_MAX])
        await self._insist(lambda: self._member.finish(batch, self._limits))
        for stream_id in batch:
            del self._done[stream_id]
