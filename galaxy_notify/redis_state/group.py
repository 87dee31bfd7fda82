"""One consumer of a group on one shard. Every method raises `RedisFault`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_client.stream_member import StreamMember, ask
from galaxy_notify.redis_state.consumer_names import consumer_forget
from galaxy_notify.redis_state.keys import Keys

#: Items of one finish; its script stays far from what Lua can unpack.
FINISH_MAX: Final = 512
#: How many handled events a group remembers on each shard, where its consumers do not set it.
MARKS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class MarkLimits:
    """How long and how many marks of handled events a group keeps on each shard."""

    ttl_ms: int
    most: int


def event_ack(
    keys: Keys, group: str, done: Mapping[str, str], limits: MarkLimits, now: int | None = None
) -> ScriptCall:
    """Mark events as handled and acknowledge them: stream ids with their event ids."""
    args: list[Argument] = [group, "" if now is None else now, limits.ttl_ms, limits.most]
    for stream_id, event_id in done.items():
        args += (stream_id, event_id)
    return ScriptCall(script("event_ack"), [keys.seen(group), keys.stream, keys.never], args)


class Parking(NamedTuple):
    """An entry to park, and why."""

    stream_id: str
    deliveries: int
    reason: str


def event_park(
    keys: Keys, group: str, consumer: str, item: Parking, most: int, *, deletes: bool = False
) -> ScriptCall:
    """Put an entry that the group can't handle aside; *deletes* it where nothing trims it."""
    args: list[Argument] = [group, consumer, *item, most, "1" if deletes else ""]
    return ScriptCall(script("event_park"), [keys.stream, keys.parked, keys.never], args)


class GroupMember(StreamMember):
    """The reads and writes of one consumer of a group on one shard."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        group: str,
        consumer: str,
        history_ms: int | None = None,
    ) -> None:
        """Prepare; a group that is made begins *history_ms* ago, or at the stream's beginning."""
        super().__init__(client, keys.stream, group, consumer)
        self.keys = keys
        self._history_ms = history_ms

    async def join(self) -> bool:
        """Make the group at its beginning unless it is there; True if it was made.

        One of the same name may have lost something before: this one has not.
        """
        made = await super().join()
        if made:
            await ask(self._client.hdel(self.keys.lost, self.group))
        return made

    async def seen(self, event_ids: Sequence[str]) -> set[str]:
        """Return those of the events that the group has handled already."""
        if not event_ids:
            return set()
        with as_fault("ZMSCORE"):
            marks = await self._client.zmscore(self.keys.seen(self.group), list(event_ids))
            pairs = zip(event_ids, marks, strict=True)
            return {event_id for event_id, mark in pairs if mark is not None}

    async def finish(self, done: Mapping[str, str], limits: MarkLimits | None) -> None:
        """Acknowledge at most `FINISH_MAX` events, and mark them as handled; safe to repeat.

        Without *limits* nothing is marked.
        """
        if limits is None:
            await ask(self._client.xack(self.stream, self.group, *done))
        else:
            await run(self._client, event_ack(self.keys, self.group, done, limits))

    async def forget(self) -> None:
        """Remove this consumer from the group, unless something is pending for it."""
        await run(self._client, consumer_forget(self.keys, self.group, [self.consumer.encode()]))

    async def park(self, item: Parking, most: int) -> str:
        """Put an entry aside with the reason; safe to repeat."""
        answer = await run(
            self._client, event_park(self.keys, self.group, self.consumer, item, most)
        )
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    async def _beginning(self) -> str:
        if self._history_ms is None:
            return await super()._beginning()
        # Ids of the stream are by the server's clock.
        seconds, micros = await ask(self._client.time())
        return str(max(0, seconds * 1000 + micros // 1000 - self._history_ms))
