"""What becomes of an event after its handler: acknowledged, parked, or delivered again."""

from __future__ import annotations

import asyncio
from typing import Final

from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.group import FINISH_MAX, GroupMember, MarkLimits, Parking
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry.logs import get_logger

#: So many handled events may wait for their acknowledgement before the next handler has to.
_UNSENT_MAX: Final = 64


class Acknowledger:
    """Ends deliveries on one shard.

    Handlers go on while what they have done is acknowledged, and what is done meanwhile shares
    the next round trip. A crash repeats what was not yet acknowledged, a few dozen at most.
    """

    def __init__(
        self, member: GroupMember, options: ConsumerOptions, retry: RetryUntilStopped
    ) -> None:
        self._member = member
        self._options = options
        self._limits = MarkLimits(round(options.marks_ttl_s * 1000), options.marks_max)
        self._retry = retry
        self._sending = asyncio.Lock()
        self._done: dict[str, str] = {}
        self._marking: set[str] = set()
        self._sender: asyncio.Task[None] | None = None
        self._log = get_logger("gateway", group=member.group, shard=member.keys.shard)

    def holds(self, stream_id: str) -> bool:
        """Tell whether an entry was handled and is not acknowledged yet."""
        return stream_id in self._done

    def knows(self, event_id: str) -> bool:
        """Tell whether an event was handled whose mark is not in Redis yet."""
        return event_id in self._marking

    async def finish(self, event: Event) -> None:
        """Mark an event as handled and acknowledge it, soon; raise `Stopped` as `flush` does."""
        self._done[event.stream_id] = event.event_id
        self._marking.add(event.event_id)
        if self._sender is not None and (self._sender.done() or len(self._done) >= _UNSENT_MAX):
            await self._sent()
        if self._sender is None and self._done:
            self._sender = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        """Acknowledge all that was handled; raise `Stopped` in an outage while we stop."""
        async with self._sending:
            while self._done:
                await self._send()

    async def close(self) -> None:
        """Acknowledge the rest; raise `Stopped` as `flush` does."""
        await self._sent()
        await self.flush()

    async def park(self, entry: Entry, reason: str) -> None:
        """Put an entry aside that can't be handled."""
        item = Parking(entry.stream_id, entry.deliveries, reason)
        word = await self._retry(lambda: self._member.park(item, self._options.parked_max))
        if word == Word.PARKED:
            self._log.error(
                "event parked",
                stream_id=entry.stream_id,
                deliveries=entry.deliveries,
                reason=reason,
            )

    async def _sent(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender

    async def _send(self) -> None:
        batch = dict(list(self._done.items())[:FINISH_MAX])
        await self._retry(lambda: self._member.finish(batch, self._limits))
        for stream_id in batch:
            del self._done[stream_id]
        self._marking = set(self._done.values())
