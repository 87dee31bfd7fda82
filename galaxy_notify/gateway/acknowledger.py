"""The end of a delivery: an event is acknowledged or parked, or stays pending."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped
from galaxy_notify.redis_client.stream_member import Entry
from galaxy_notify.redis_state.group import FINISH_MAX, GroupMember, MarkLimits, Parking
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry.logs import get_logger

#: With this many events waiting for acknowledgement, the next handler waits too.
_UNSENT_MAX: Final = 64


class Acknowledger:
    """Acknowledges and parks entries of one shard, and knows which events are handled.

    Handlers continue, and the next entries are read, while earlier events are acknowledged; events
    handled meanwhile share the next round trip. A crash repeats the events that are not yet
    acknowledged, a few dozen at most.
    """

    def __init__(
        self, member: GroupMember, options: ConsumerOptions, retry: RetryUntilStopped
    ) -> None:
        self._member = member
        self._options = options
        limits = MarkLimits(round(options.marks_ttl_s * 1000), options.marks_max)
        self._limits = limits if options.marks else None
        self._retry = retry
        self._sending = asyncio.Lock()
        self._unacknowledged: dict[str, str] = {}
        self._unmarked: set[str] = set()
        self._sender: asyncio.Task[None] | None = None
        #: Its lines name the group and the shard.
        self.log = get_logger("gateway", group=member.group, shard=member.keys.shard)

    @property
    def is_full(self) -> bool:
        """Whether the next handler has to wait for a `flush`."""
        return len(self._unacknowledged) >= _UNSENT_MAX

    def is_unacknowledged(self, stream_id: str) -> bool:
        """Return whether an entry was handled and is not acknowledged yet."""
        return stream_id in self._unacknowledged

    def is_being_marked(self, event_id: str) -> bool:
        """Return whether an event was handled and its mark is not in Redis yet."""
        return event_id in self._unmarked

    async def handled(self, event_ids: Sequence[str], retry: RetryUntilStopped) -> set[str]:
        """Return those of the events that the group has handled; raise `Stopped`."""
        if not event_ids:
            return set()
        # A mark on its way may miss the look-up, and be in Redis before the look-up is answered.
        being_marked = self._unmarked.intersection(event_ids)
        if self._limits is None:
            return being_marked
        return being_marked | await retry(lambda: self._member.seen(event_ids))

    def finish(self, event: Event) -> None:
        """Mark and acknowledge an event, in the background; raise `Stopped` if that was stopped."""
        self._unacknowledged[event.stream_id] = event.event_id
        self._unmarked.add(event.event_id)
        if self._sender is None or self._sender.done():
            self._send_soon()

    def finish_all(self, events: Iterable[Event]) -> None:
        """Mark and acknowledge events, in the background; raise `Stopped` as `finish` does."""
        done = {event.stream_id: event.event_id for event in events}
        self._unacknowledged |= done
        self._unmarked.update(done.values())
        if done and (self._sender is None or self._sender.done()):
            self._send_soon()

    async def flush(self) -> None:
        """Acknowledge all handled events; raise `Stopped` if stopped during an outage."""
        async with self._sending:
            while self._unacknowledged:
                await self._send()

    async def close(self) -> None:
        """Acknowledge the rest; raise `Stopped` as `flush` does."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender
        await self.flush()

    async def park(self, entry: Entry | Event, reason: str) -> None:
        """Move an entry that cannot be handled to the parked stream."""
        item = Parking(entry.stream_id, entry.deliveries, reason)
        word = await self._retry(lambda: self._member.park(item, self._options.parked_max))
        if word == Word.PARKED:
            self.log.error(
                "event parked",
                stream_id=entry.stream_id,
                deliveries=entry.deliveries,
                reason=reason,
            )

    def _send_soon(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.result()
        self._sender = asyncio.create_task(self.flush())

    async def _send(self) -> None:
        batch = dict(list(self._unacknowledged.items())[:FINISH_MAX])
        await self._retry(lambda: self._member.finish(batch, self._limits))
        for stream_id in batch:
            del self._unacknowledged[stream_id]
        self._unmarked = set(self._unacknowledged.values())
