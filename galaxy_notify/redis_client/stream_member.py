"""One consumer of a group of a stream. Every method raises `RedisFault`."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import redis.asyncio
from redis.exceptions import ResponseError

from galaxy_notify.redis_client.faults import Fault, Remedy, as_fault
from galaxy_notify.redis_client.nodes import node_of, refresh_primary

T = TypeVar("T")
#: Entries of one claim, which then takes well below a millisecond.
_KEPT_AT_ONCE: Final = 256


class Entry(NamedTuple):
    """An entry of a stream as it was delivered: nothing of it is decoded yet."""

    stream_id: str
    fields: Mapping[bytes, bytes]
    deliveries: int


class Waiting(NamedTuple):
    """A delivered entry that is not acknowledged."""

    stream_id: str
    consumer: str
    idle_ms: int
    deliveries: int


class StreamMember:
    """What every consumer does, for the gateway and the intake stream."""

    def __init__(self, client: redis.asyncio.Redis, stream: str, group: str, consumer: str) -> None:
        self.stream = stream
        self.group = group
        self.consumer = consumer
        self._client = client

    async def join(self) -> bool:
        """Make the group at its beginning unless it is there; True if it was made."""
        first = await self._beginning()
        with as_fault("XGROUP"):
            try:
                await self._client.xgroup_create(self.stream, self.group, id=first, mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" in str(error):
                    return False
                raise
        return True

    async def read(self, count: int, block_ms: int) -> list[Entry]:
        """Wait for entries that the group was not given yet; none in time is normal."""
        reply = await ask(
            self._client.xreadgroup(
                self.group, self.consumer, {self.stream: ">"}, count=count, block=block_ms
            )
        )
        with as_fault("XREADGROUP"):
            return [
                Entry(stream_id.decode(), dict(zip(fields[::2], fields[1::2], strict=True)), 1)
                for stream_id, fields in _rows(reply)
            ]

    async def waiting(
        self, own_idle_ms: int, idle_ms: int, limit: int
    ) -> tuple[list[Waiting], list[Waiting]]:
        """Return what this consumer and what others left waiting for this long."""
        pipeline = self._client.pipeline(transaction=False)
        for idle, own in ((own_idle_ms, self.consumer), (idle_ms, None)):
            pipeline.xpending_range(
                self.stream, self.group, "-", "+", limit, consumername=own, idle=idle
            )
        with as_fault("XPENDING"):
            mine, all_of_them = await pipeline.execute()
            own_entries = [_waiting(row) for row in mine]
            stale = [_waiting(row) for row in all_of_them]
        return own_entries, [entry for entry in stale if entry.consumer != self.consumer]

    async def take(self, waiting: Waiting, idle_ms: int) -> Entry | None:
        """Take a waiting entry over, or None where it has gone or another consumer was quicker."""
        stream, stream_id = self.stream, waiting.stream_id
        with as_fault("XCLAIM"):
            rows: Any = await self._client.xclaim(
                stream, self.group, self.consumer, idle_ms, [stream_id]
            )
            if rows and rows[0][0] is not None:
                return Entry(stream_id, rows[0][1], waiting.deliveries + 1)
        if rows:  # 6.2 keeps a trimmed entry pending, and answers with nothing in its place
            await ask(self._client.xack(stream, self.group, stream_id))
        return None

    async def take_all(self, waiting: Sequence[Waiting], idle_ms: int) -> list[Entry]:
        """Take waiting entries over; those that have gone, or that others took, are left out."""
        deliveries = {one.stream_id: one.deliveries + 1 for one in waiting}
        with as_fault("XCLAIM"):
            rows: Any = await self._client.xclaim(
                self.stream, self.group, self.consumer, idle_ms, list(deliveries)
            )
            found = [(row[0].decode(), row[1]) for row in rows if row[0] is not None]
            return [Entry(name, fields, deliveries[name]) for name, fields in found]

    async def exists(self, stream_id: str) -> bool:
        """Return whether an entry is still in the stream."""
        return bool(await ask(self._client.xrange(self.stream, stream_id, stream_id)))

    async def release(self, stream_ids: Sequence[str], idle_ms: int) -> None:
        """Let others take entries over at once, without counting a delivery."""
        if stream_ids:
            ids: list[Any] = list(stream_ids)
            claim = self._client.xclaim(
                self.stream, self.group, self.consumer, 0, ids, idle=idle_ms, justid=True
            )
            await ask(claim)

    async def retain(self, deliveries: Mapping[str, int]) -> None:
        """Claim entries for longer, and count this many deliveries of each from now on.

        An entry that another consumer has taken over meanwhile is taken back; one that was
        acknowledged meanwhile stays so. Safe to repeat.
        """
        counts: dict[int, list[Any]] = {}
        for stream_id, count in deliveries.items():
            counts.setdefault(count, []).append(stream_id)
        for count, ids in counts.items():
            for at in range(0, len(ids), _KEPT_AT_ONCE):
                some, group = ids[at : at + _KEPT_AT_ONCE], (self.group, self.consumer, 0)
                await ask(
                    self._client.xclaim(self.stream, *group, some, retrycount=count, justid=True)
                )

    async def _beginning(self) -> str:
        """Return the id behind which a group that is made begins; raises `RedisFault`."""
        return "0"

    @property
    def node(self) -> str:
        """Return which node serves the stream now; empty for a fixed server."""
        return node_of(self._client)

    async def recover(self, fault: Fault) -> bool:
        """Do what a fault asks for before the next attempt.

        True if the group had vanished and was made again: the call may be repeated at once. A read
        that was unblocked lost its stream, or its server became a replica: the next call says so.
        """
        unblocked = "UNBLOCKED" in fault.text
        if fault.remedy is Remedy.RESOLVE and not unblocked:
            await refresh_primary(self._client)
        return (unblocked or "NOGROUP" in fault.text) and await self.join()


async def ask(reply: Awaitable[T] | Any) -> Any:
    """Return a reply; raise `RedisFault` in place of what redis-py raises."""
    with as_fault("redis"):
        return await reply


def _rows(reply: Any) -> list[tuple[bytes, list[bytes]]]:
    """Return the entries of the one stream that was read."""
    return next(iter(reply.values())) if reply else []


def _waiting(row: Mapping[str, Any]) -> Waiting:
    return Waiting(
        row["message_id"].decode(),
        row["consumer"].decode("utf-8", "replace"),
        int(row["time_since_delivered"]),
        int(row["times_delivered"]),
    )
