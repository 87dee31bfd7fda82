"""The writes of a worker on one shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

import redis.asyncio

from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.nodes import refresh_primary, serving
from galaxy_notify.redis_client.runner import Ask, run, run_all
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import leases
from galaxy_notify.redis_state.calls import words
from galaxy_notify.redis_state.delivery_outcomes import (
    DeliveryOutcome,
    Ended,
    read_ended,
    route_end,
)
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Claim, ClaimLimits, Correction
from galaxy_notify.redis_state.publish_call import (
    Published,
    PublishTerms,
    read_published,
    route_publish,
)
from galaxy_notify.redis_state.rate import Taken, rate_take, read_taken
from galaxy_notify.redis_state.settlement import Settled, Settlement, read_settled

T = TypeVar("T")
_WORKER_TTL_MS = 30_000


class Store:
    """One shard, as its workers write it; every method raises `RedisFault`.

    *took* is called with the name, the seconds and the number of items of every script.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        keys: Keys,
        took: Callable[[str, float, int], None],
        confirm: Confirmation | None = None,
        ask: Ask | None = None,
    ) -> None:
        """Prepare; an outcome is settled once *confirm* is met (WAIT or WAITAOF).

        *ask* makes the round trips of scripts; without it, each has its own.
        """
        self.keys = keys
        self._ask: Ask = ask or partial(run_all, client)
        self._confirm = confirm
        self._client = client
        self._took = took
        self._now: int | None = None

    def with_rounds(self, ask: Ask) -> Store:
        """Return a store of the same shard whose scripts go by *ask*."""
        return Store(self._client, self.keys, self._took, self._confirm, ask)

    async def claim(
        self, channel: str, token: str, limits: ClaimLimits, *, alone: bool = False
    ) -> Claim:
        """Take due members under a lease; the same token gets the same again.

        At most once, the mark that they may be sent is first as safe as ``redis.durability`` asks.
        """
        call = leases.route_claim(self.keys, channel, token, limits, alone=alone, now=self._now)
        confirm = self._confirm if limits.at_most_once else None
        return await self._run(call, lambda reply: leases.read_claim(reply, token), confirm=confirm)

    async def publish(self, channel: str, limits: ClaimLimits, terms: PublishTerms) -> Published:
        """Publish due routes that need no lease; `confirm_published` is to follow.

        After a fault they may be published or not. It may be sent again at once: a route that is
        published is no longer due.
        """
        call, started = route_publish(self.keys, channel, limits, terms, self._now), perf_counter()
        reply = await run(self._client, call)
        with as_fault(call.script.name):
            published = read_published(reply)
        self._took(call.script.name, perf_counter() - started, published.routes)
        return published

    async def confirm_published(self) -> None:
        """Wait until what was published is as safe as ``redis.durability`` asks.

        The mark comes after the events in the order of the server's writes, on any connection.
        """
        if self._confirm is None:
            return
        marks = self._confirm.reads(self.keys.confirmed)
        replies = await run_all(serving(self._client, marks[0].command), marks)
        if fault := self._confirm.fault(replies):
            raise RedisFault(fault, outcome_unknown=True)

    async def settle(
        self, channel: str, token: str, settlement: Settlement, claimed: int = 0
    ) -> Settled:
        """End a lease, each member with its outcome; return an answer for each, in order.

        After a fault it is not sent again: it may have run, and would answer `stale` for what it
        has just published. What it did not settle is due again when the lease expires, and the
        next claim reads the true state.
        """
        call = settlement.call(self.keys, channel, token, self._now, claimed)
        items = len(settlement)
        return await self._run(call, lambda reply: read_settled(reply, items), items, self._confirm)

    async def end(self, channel: str, token: str, outcomes: Sequence[DeliveryOutcome]) -> Ended:
        """Record what became of routes of an external channel; return an answer for each, in order.

        After a fault it may be sent again until the lease expires: see `route_end`.
        """
        call, items = route_end(self.keys, channel, token, outcomes, self._now), len(outcomes)
        return await self._run(call, lambda reply: read_ended(reply, items), items, self._confirm)

    async def reposition(
        self, channel: str, token: str, corrections: Sequence[Correction]
    ) -> list[str]:
        """Put misplaced members where their state says."""
        call, items = (
            leases.route_reposition(self.keys, channel, token, corrections),
            len(corrections),
        )
        return await self._run(call, lambda reply: words(reply, items))

    async def take_sends(self, channel: str, *, interval_us: int, burst: int, wanted: int) -> Taken:
        """Take sends out of the rate of a channel; only the store of the first shard has it."""
        call = rate_take(self.keys, channel, interval_us, burst, wanted, self._now)
        return await self._run(call, read_taken)

    async def clock_ms(self) -> float:
        """Return the time of the server, in epoch ms."""
        with as_fault("TIME"):
            seconds, micros = await self._client.time()
        return seconds * 1000 + micros / 1000

    async def refresh_primary(self) -> None:
        """Drop idle connections, so that the next call looks the primary up again."""
        await refresh_primary(self._client)

    async def wait_for_wakeup(self, channels: Sequence[str], seconds: float) -> bool:
        """Wait for a wake-up of one of the channels, for at most *seconds*."""
        lists = [self.keys.wake(channel) for channel in channels]
        with as_fault("BLPOP"):
            return await self._client.blpop(lists, timeout=seconds) is not None

    async def notify_channels(self, channels: Sequence[str]) -> None:
        """Wake a worker for each of the channels, unless that has been done already."""
        lists = [self.keys.wake(channel) for channel in channels]
        with as_fault("RPUSH"):
            for name in lists:
                if not await self._client.llen(name):
                    await self._client.rpush(name, "1")

    async def identify(self, worker_id: str, fields: Mapping[str, str], now_ms: int) -> None:
        """Report who the worker is, and that it makes progress; this is forgotten after 30 s."""
        pipeline = self._client.pipeline(transaction=True)
        key = self.keys.worker(worker_id)
        reported = {**fields, "progress_ms": str(now_ms)}
        pipeline.hset(key, items=[part for pair in reported.items() for part in pair])
        pipeline.pexpire(key, _WORKER_TTL_MS)
        pipeline.zadd(self.keys.workers, {worker_id: now_ms})
        with as_fault("EXEC"):
            await pipeline.execute()

    async def progressed(self, worker_id: str, now_ms: int) -> None:
        """Report progress of a worker that has identified itself not long ago."""
        with as_fault("ZADD"):
            await self._client.zadd(self.keys.workers, {worker_id: now_ms})

    async def retire(self, worker_id: str) -> None:
        """Report that the worker has left, so that it no longer counts as alive."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(self.keys.worker(worker_id))
        pipeline.zrem(self.keys.workers, worker_id)
        with as_fault("EXEC"):
            await pipeline.execute()

    async def _run(
        self,
        call: ScriptCall,
        read: Callable[[Any], T],
        items: int = 0,
        confirm: Confirmation | None = None,
    ) -> T:
        started = perf_counter()
        (reply,) = await self._ask([call], confirm)
        self._took(call.script.name, perf_counter() - started, items)
        with as_fault(call.script.name):
            return read(unwrap(reply))
