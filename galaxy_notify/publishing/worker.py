"""The loop: claim, encode, settle, batch after batch, and rest when nothing is due."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.claimer import Claimer, Leased
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.publishing.waiter import Waiter
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.store import Store

_SLICE_S: Final = 1.0


class Pass(NamedTuple):
    """What one pass came to: how many routes were claimed, and how many of them moved on."""

    claimed: int
    moved: int


class ShardWorker:
    """Carries the due routes of one shard. Its slots take turns claiming and settle at once."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        self._state = state
        self._reporter = reporter
        self._claimer = Claimer(store, state, reporter)
        self._publisher = Publisher(store, state, reporter)
        self._waiter = Waiter(store, state)
        self._turn = asyncio.Lock()

    async def run(self, slots: int) -> None:
        """Work until the shard stops; the batches in hand are finished first."""
        tasks = [asyncio.create_task(self._work(slot)) for slot in range(slots)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        self._state.stop()
        await asyncio.wait(tasks)
        await self._waiter.close()
        for task in done:
            task.result()

    async def run_once(self, slot: int) -> Pass:
        """Settle what is due now, one batch of it, and a suspect if there is one."""
        async with self._state.publisher.gate.shared():
            await self._publisher.release_unsettled()
            result = await self._claimer.claim(slot)
            # The slot that rests meanwhile has to know until when.
            self._state.wake()
            done = await self._settle(result.batch)
        self._progressed()
        if not result.has_suspects or self._state.stopping:
            return done
        async with self._state.publisher.gate.exclusive():
            alone = await self._settle(await self._claimer.claim_alone(slot, result.channel))
        return Pass(done.claimed + alone.claimed, done.moved + alone.moved)

    async def _work(self, slot: int) -> None:
        health = self._state.health
        while not self._state.stopping:
            try:
                async with self._turn:
                    await self._rest(slot)
                if not self._state.stopping:
                    began_at = monotonic()
                    health.passed((await self.run_once(slot)).moved, began_at)
            except RedisFault as error:
                health.redis_failed(error)
                await self._claimer.on_error(error)
                # The slot that rests gives way to a claim that has to be asked again.
                self._state.wake()
            except StreamRefused as error:
                health.stream_refused(str(error))

    async def _rest(self, slot: int) -> None:
        """Wait until there may be work, in slices, so that the loop is seen to live."""
        state, health = self._state, self._state.health
        while not state.stopping:
            self._progressed()
            if not health.redis_is_away:
                await self._claimer.beat()
            # What a slot may hold without having heard of it does not wait for the next poll; but
            # while Redis is away, one try at a time is enough.
            at_once = self._claimer.has_unanswered_claim(slot) and not health.reason
            pause = max(0.0 if at_once else state.claim_at, health.retry_at) - monotonic()
            if pause <= 0:
                break
            listen = self._claimer.may_be_woken and not health.reason
            if await self._waiter.wait(min(pause, _SLICE_S), listen=listen) and listen:
                break
        # Until the claim that follows has found something, the other slots need not try.
        self._claimer.back_off()
        health.attempt()

    async def _settle(self, batch: Leased | None) -> Pass:
        if batch is None:
            return Pass(0, 0)
        outcome = await self._publisher.settle(batch)
        self._state.settled_batch(outcome.stream_length)
        if outcome.refused:
            raise StreamRefused(outcome.refused)
        if outcome.settled:
            self._claimer.grow_batch()
            # A retry may be due before what the other slots rest for.
            self._state.claim_now()
        return Pass(len(batch.claim.members), outcome.settled)

    def _progressed(self) -> None:
        self._state.progressed()
        self._reporter.log_sums()
