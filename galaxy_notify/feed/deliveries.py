"""The delivery stream of a shard: by which channels an item was delivered too.

An entry may come before the event that makes its item, and most entries of notifications without a
channel of the feed never find one. So an entry without an item stays pending, is looked for again
with growing pauses, and is given up in the end; others do not wait for it. Adding a channel twice
changes nothing, so two writers may have the same entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, TypeVar

from galaxy_notify.errors import Corrupt
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.patience import Patience
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import DeliveredVia
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, Stopped
from galaxy_notify.redis_client.stream_member import Entry, Waiting
from galaxy_notify.redis_state.deliveries import DeliveriesMember, read_delivery
from galaxy_notify.redis_state.group import Parking
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger

T = TypeVar("T")

#: Entries of one read, and of one statement.
_BATCH: Final = 500
_BLOCK_MS: Final = 500
#: Behind a batch that was not full, so that the next one fills.
_FILL_S: Final = 0.2
#: While no route of an external channel has ended, the stream is looked for this often.
_LOOK_S: Final = 5.0
#: Longer than the pauses of what waits here.
_STALE_MS: Final = 60_000
_STALE_S: Final = 10.0
#: Another writer took over what was idle for less than its pause.
_OWN_MS: Final = 500
_PARKED_MAX: Final = 10_000
_SAY_S: Final = 60.0


@dataclass(frozen=True)
class DeliveredItems:
    """Where channels are added; all shards of a process share one."""

    store: FeedStore
    outage: PostgresOutage
    telemetry: Telemetry

    async def add(self, given: Sequence[DeliveredVia]) -> set[DeliveredVia]:
        """Add channels; return those whose item is not there, or whose user is locked.

        It waits while Postgres is away. Raises `Stopped`.
        """
        found = await self.outage.answered(partial(self.store.find_delivered, given))
        lacking = [one for one in given if (one.user_id, one.notification_id) in found.lacking]
        locked: frozenset[str] = frozenset()
        if lacking:
            add = partial(self.store.add_delivered, lacking)
            locked = await self.outage.answered(add, writes=True)
        return {
            *(one for one in given if (one.user_id, one.notification_id) in found.missing),
            *(one for one in lacking if one.user_id in locked),
        }


class DeliveriesReader:
    """Reads the delivery stream of one shard from when there is one."""

    def __init__(
        self,
        member: DeliveriesMember,
        items: DeliveredItems,
        stop: StopFlag,
        retry: RetryUntilStopped,
        is_behind: Callable[[], bool],
        patience: Patience,
    ) -> None:
        """Prepare; while the feed *is_behind*, items are missing that will come."""
        self._member = member
        self._items = items
        self._stop = stop
        self._retry = retry
        self._is_behind = is_behind
        self._patience = patience
        #: What was read and not brought to an end yet.
        self._in_hand: list[str] = []
        self._looked_at = -_STALE_S
        self._given_up = 0
        self._said_at = -_SAY_S
        self._log = get_logger("feed", shard=member.keys.shard)

    async def run(self) -> None:
        """Add channels until the stop, then leave what waits to other writers."""
        with suppress(Stopped):
            while not await self._retry(self._member.has_stream):
                if await self._stop.wait(_LOOK_S):
                    return
            await self._retry(self._member.join)
            try:
                while not self._stop:
                    await self._round()
            finally:
                with suppress(Stopped):
                    await self._leave()

    async def _round(self) -> None:
        """Read new entries, and take those that are due; raise `Stopped`."""
        if self._patience.is_full and self._is_behind():
            # Nothing is given up for that: what waits finds its items soon.
            await self._stop.wait(_BLOCK_MS / 1000)
        else:
            entries = await self._retry(lambda: self._member.read(_BATCH, _BLOCK_MS))
            await self._handle(entries)
            if 0 < len(entries) < _BATCH:
                await self._stop.wait(_FILL_S)
        if due := self._patience.due(_BATCH):
            own = [Waiting(one, self._member.consumer, _OWN_MS, 0) for one in due]
            taken = await self._retry(lambda: self._member.take_all(own, _OWN_MS))
            self._patience.forget(set(due) - {entry.stream_id for entry in taken})
            await self._handle(taken)
        if monotonic() - self._looked_at >= _STALE_S:
            await self._take_over()

    async def _take_over(self) -> None:
        """Take what another writer has left, and what is pending here and does not wait."""
        found = await self._retry(lambda: self._member.waiting(_STALE_MS, _STALE_MS, _BATCH))
        left = [one for some in found for one in some]
        if len(left) < _BATCH:
            self._looked_at = monotonic()
        if not left:
            return
        taken = await self._retry(lambda: self._member.take_all(left, _STALE_MS))
        # Redis 6.2 keeps an entry pending that was trimmed from the stream.
        for name in {one.stream_id for one in left} - {entry.stream_id for entry in taken}:
            if not await self._retry(partial(self._member.exists, name)):
                await self._retry(partial(self._member.finish, {name: ""}, None))
        await self._handle(taken)

    async def _handle(self, entries: Sequence[Entry]) -> None:
        """Add the channels of entries, acknowledge these; raise `Stopped`."""
        if not entries:
            return
        self._in_hand = [entry.stream_id for entry in entries]
        given: dict[str, DeliveredVia] = {}
        parked = 0
        for entry in entries:
            try:
                delivered = read_delivery(entry.fields)
            except Corrupt as error:
                await self._park(entry, str(error))
                parked += 1
            else:
                if delivered is not None:
                    given[entry.stream_id] = delivered
        missed = await self._add(given)
        given_up = self._patience.missed(missed, spends=not self._is_behind())
        await self._finish(entries, missed, given_up)
        self._in_hand = []
        self._items.telemetry.feed_deliveries(
            {
                "added": len(given) - len(missed),
                "passed": len(entries) - len(given) - parked,
                "parked": parked,
                "given_up": len(given_up),
            }
        )
        self._say(len(given_up))

    async def _add(self, given: Mapping[str, DeliveredVia]) -> list[str]:
        """Add channels; return the entries whose item is not there, or is locked."""
        if not given:
            return []
        missing = await self._items.add(list(given.values()))
        return [stream_id for stream_id, one in given.items() if one in missing]

    async def _finish(
        self, entries: Iterable[Entry], missed: Iterable[str], given_up: Sequence[str]
    ) -> None:
        """Acknowledge all but what is missed; those that are given up as well."""
        waits = set(missed).difference(given_up)
        done = [entry.stream_id for entry in entries if entry.stream_id not in waits]
        self._patience.forget(done)
        # Among those that are given up may be some that came earlier.
        done = list(dict.fromkeys([*done, *given_up]))
        for at in range(0, len(done), _BATCH):
            some = dict.fromkeys(done[at : at + _BATCH], "")
            await self._retry(partial(self._member.finish, some, None))

    async def _park(self, entry: Entry, reason: str) -> None:
        item = Parking(entry.stream_id, entry.deliveries, reason)
        await self._retry(lambda: self._member.park(item, _PARKED_MAX))
        self._log.error("delivery parked", stream_id=entry.stream_id, reason=reason)

    def _say(self, given_up: int) -> None:
        """Log how many entries were given up since the last line, at most once a minute."""
        self._given_up += given_up
        if self._given_up and (self._stop or monotonic() - self._said_at >= _SAY_S):
            self._log.info("deliveries given up", entries=self._given_up)
            self._given_up, self._said_at = 0, monotonic()

    async def _leave(self) -> None:
        """Let others have what waits at once; without any, leave the group. Raises `Stopped`."""
        self._say(0)
        waiting = list(dict.fromkeys([*self._in_hand, *self._patience.waiting]))
        for at in range(0, len(waiting), _BATCH):
            some = waiting[at : at + _BATCH]
            await self._retry(partial(self._member.release, some, _STALE_MS))
        await self._retry(self._member.forget)
