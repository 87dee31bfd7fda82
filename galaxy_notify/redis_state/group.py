"""The consumers of a group: one on one shard, its connection to all, the names of the ended.

Every method raises `RedisFault`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import redis.asyncio

from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.faults import REDIS_ERRORS, as_fault
from galaxy_notify.redis_client.flows import run_flow, unwrap
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import pairs
from galaxy_notify.redis_client.runner import run, run_all
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_client.stream_member import StreamMember, ask
from galaxy_notify.redis_state.group_report import GroupReport, group_report_async
from galaxy_notify.redis_state.joining import read_deployment
from galaxy_notify.redis_state.keys import IntentKeys, Keys
from galaxy_notify.redis_state.shared_settings import KeySpace

if TYPE_CHECKING:
    from galaxy_notify.settings import Settings

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


def event_park(keys: Keys, group: str, consumer: str, item: Parking, most: int) -> ScriptCall:
    """Put an entry that the group can't handle aside."""
    args: list[Argument] = [group, consumer, *item, most]
    return ScriptCall(script("event_park"), [keys.stream, keys.parked, keys.never], args)


class GroupMember(StreamMember):
    """The reads and writes of one consumer of a group on one shard."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, group: str, consumer: str) -> None:
        super().__init__(client, keys.stream, group, consumer)
        self.keys = keys

    async def join(self) -> bool:
        """Make the group at the stream's beginning unless it is there; True if it was made.

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

    async def finish(self, done: Mapping[str, str], limits: MarkLimits) -> None:
        """Mark at most `FINISH_MAX` events as handled and acknowledge them; safe to repeat."""
        await run(self._client, event_ack(self.keys, self.group, done, limits))

    async def park(self, item: Parking, most: int) -> str:
        """Put an entry aside with the reason; safe to repeat."""
        answer = await run(
            self._client, event_park(self.keys, self.group, self.consumer, item, most)
        )
        return answer.decode() if isinstance(answer, bytes) else str(answer)


# A shard blocks one connection to read; what it sends meanwhile shares few more.
_PER_SHARD: Final = 4


class ConsumerConnection:
    """A client with connections enough for every shard, and where everything lies."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self.client = client
        self.key_space = key_space

    @classmethod
    async def open(cls, settings: Settings, name: str) -> Self | None:
        """Connect, or return None where there is no deployment yet; raises `RedisFault`."""
        client = open_async(settings, connections=1, name=name)
        try:
            found = await run_flow(client, read_deployment(settings.redis.prefix))
        finally:
            with suppress(*REDIS_ERRORS):
                await client.aclose()
        if found is None:
            return None
        connections = found.shards * _PER_SHARD
        return cls(
            open_async(settings, connections=connections, name=name),
            KeySpace(settings.redis.prefix, found),
        )

    def at_shard(self, keys: Keys) -> redis.asyncio.Redis:
        """Return the client of the node that serves a shard."""
        return at_shard(self.client, keys.tag)

    async def reports(self) -> dict[int, dict[str, GroupReport]]:
        """Return how every group stands on each shard; raises `RedisFault`."""
        return {
            keys.shard: await group_report_async(self.at_shard(keys), keys)
            for keys in self.key_space.all_keys
        }

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()


#: Names of one script, which then takes about a millisecond.
PAGE: Final = 256
#: Names of one pass.
_PASS: Final = 40 * PAGE


def consumer_forget(
    keys: Keys | IntentKeys, group: bytes | str, names: Sequence[bytes]
) -> ScriptCall:
    """Forget those of the stream's consumers that hold nothing."""
    return ScriptCall(script("consumer_forget"), [keys.stream, keys.never], [group, *names])


async def forget_consumers(
    client: redis.asyncio.Redis, keys: Keys | IntentKeys, group: bytes | str, idle_ms: int
) -> bool:
    """Forget consumers that hold nothing and were idle for *idle_ms*, some at a time.

    Every new name stays in its group for ever, unless it is forgotten.
    The one that was seen last stays: it shows when the group was last used. Returns whether there
    may be more to forget; raises `RedisFault`.
    """
    with as_fault("XINFO"):
        (reply,) = await run_all(client, [Command(["XINFO", "CONSUMERS", keys.stream, group])])
        names = _ended([pairs(row) for row in unwrap(reply)], idle_ms)
    chosen = names[:_PASS]
    for at in range(0, len(chosen), PAGE):
        await run(client, consumer_forget(keys, group, chosen[at : at + PAGE]))
    return len(names) > _PASS


def _ended(consumers: list[dict[bytes, Any]], idle_ms: int) -> list[bytes]:
    latest = min(consumers, key=lambda row: int(row[b"idle"]), default=None)
    return [
        row[b"name"]
        for row in consumers
        if row is not latest and int(row[b"pending"]) == 0 and int(row[b"idle"]) > idle_ms
    ]
