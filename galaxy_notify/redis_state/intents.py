"""One reader of the intent stream, and what is said to its scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.nodes import serving
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_client.stream_member import Entry, StreamMember, Waiting, ask
from galaxy_notify.redis_state.consumer_names import forget_consumers
from galaxy_notify.redis_state.keys import IntentKeys

#: The name under which a replayed reject is found, where it may have been accepted before.
REPLAYED: Final = b"entry_id"
INTENT: Final = b"intent"
_FORGOTTEN_MS: Final = 600_000


class Reject(NamedTuple):
    """An entry that can't be accepted, and why."""

    stream_id: str
    code: str
    field: str
    message: str
    deliveries: int


class Keeping(NamedTuple):
    """How large an intent a reject keeps whole, in bytes, and about how many rejects there are."""

    bytes: int
    rejects: int


def intake_ack(keys: IntentKeys, group: str, stream_ids: Sequence[str]) -> ScriptCall:
    """Acknowledge and delete entries whose intents were accepted, at most a thousand."""
    return ScriptCall(script("intake_ack"), [keys.stream, keys.never], [group, *stream_ids])


def intake_reject(keys: IntentKeys, group: str, item: Reject, keeping: Keeping) -> ScriptCall:
    """Move an entry to the rejects."""
    args: list[Argument] = [group, *item, *keeping]
    return ScriptCall(script("intake_reject"), [keys.stream, keys.rejects, keys.never], args)


def intake_resubmit(keys: IntentKeys, reject_id: str) -> ScriptCall:
    """Put the intent of a reject back into the stream."""
    return ScriptCall(
        script("intake_resubmit"), [keys.rejects, keys.stream, keys.never], [reject_id]
    )


class Ended(NamedTuple):
    """What became of a batch: rejects that fell out, and entries that could not be refused."""

    fallen: int
    unsettled: dict[str, RedisFault]


class IntentMember(StreamMember):
    """The reads and writes of one reader."""

    def __init__(
        self, client: redis.asyncio.Redis, keys: IntentKeys, group: str, consumer: str
    ) -> None:
        super().__init__(serving(client, ["XLEN", keys.stream]), keys.stream, group, consumer)
        self.keys = keys

    async def probe(self) -> None:
        """Raise `RedisFault` where Redis is away; one command, on one connection."""
        await ask(self._client.xlen(self.stream))

    async def own(self, limit: int) -> list[Waiting]:
        """Return what is pending for this reader, even if the reply that delivered it was lost."""
        mine, _ = await self.waiting(0, 0, limit)
        return mine

    async def claim(self, waiting: Waiting, idle_ms: int) -> bool:
        """Take a waiting entry over without counting a delivery; False if another reader has it."""
        least = 0 if waiting.consumer == self.consumer else idle_ms
        claimed = self._client.xclaim(
            self.stream, self.group, self.consumer, least, [waiting.stream_id], justid=True
        )
        return bool(await ask(claimed))

    async def begin(self, waiting: Waiting) -> Entry | None:
        """Count the beginning of another try, and return the entry, or None where it is gone.

        The count is set, not incremented: a repetition after a lost reply costs nothing.
        """
        begun = waiting.deliveries + 1
        pipeline = self._client.pipeline(transaction=False)
        self._recount(pipeline, waiting.stream_id, begun)
        pipeline.xrange(self.stream, waiting.stream_id, waiting.stream_id)
        _, rows = await ask(pipeline.execute())
        if not rows:
            await ask(self._client.xack(self.stream, self.group, waiting.stream_id))
            return None
        return Entry(waiting.stream_id, rows[0][1], begun)

    async def put_off(self, entry: Entry) -> None:
        """Uncount the last try of an entry: it failed for a reason outside the entry."""
        await ask(self._recount(self._client, entry.stream_id, entry.deliveries - 1))

    async def keep(self, stream_ids: Sequence[str]) -> None:
        """Renew the claim on these entries."""
        keeping = self._client.xclaim(
            self.stream, self.group, self.consumer, 0, list(stream_ids), justid=True
        )
        await ask(keeping)

    async def settle(
        self, admitted: Sequence[str], rejects: Sequence[Reject], keeping: Keeping
    ) -> Ended:
        """End deliveries in one round trip; safe to repeat.

        Raises `RedisFault`. If only the stream of rejects is of a wrong type, the entries that
        cannot be rejected are returned instead.
        """
        made = [intake_ack(self.keys, self.group, admitted)] if admitted else []
        made += [intake_reject(self.keys, self.group, item, keeping) for item in rejects]
        replies: list[Any] = await run_all(self._client, made)
        unsettled: dict[str, RedisFault] = {}
        fallen = 0
        if admitted:
            unwrap(replies.pop(0))
        for item, reply in zip(rejects, replies, strict=True):
            if isinstance(reply, RedisFault) and reply.fault.code == "WRONGTYPE":
                unsettled[item.stream_id] = reply
            else:
                fallen += _fallen(unwrap(reply))
        return Ended(fallen, unsettled)

    async def forget(self, idle_ms: int = _FORGOTTEN_MS) -> bool:
        """Forget readers that ended long ago; return whether there are more of them."""
        return await forget_consumers(self._client, self.keys, self.group, idle_ms)

    def _recount(self, client: Any, stream_id: str, deliveries: int) -> Any:
        return client.xclaim(
            self.stream,
            self.group,
            self.consumer,
            0,
            [stream_id],
            retrycount=deliveries,
            justid=True,
        )


@reader
def _read_fallen(reply: Sequence[Any]) -> int:
    return int(reply[1])


def _fallen(reply: Any) -> int:
    with as_fault("intake_reject"):
        return _read_fallen(reply)
