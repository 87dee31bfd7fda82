"""The loop: claim, encode, settle, batch after batch, and rest when nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.claimer import Claimer, Taken
from galaxy_notify.publishing.gate import Gate
from galaxy_notify.publishing.outage import Outage
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.waiter import Waiter
from galaxy_notify.redis_client.faults import RedisFault

_SLICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop tells the process: that it progresses, and that a stream has grown long."""

    progressed: Callable[[], None]
    stream_length: Callable[[int], None]


class Worker:
    """Carries the due routes of one shard. Its slots take turns claiming and settle at once."""

    def __init__(
        self,
        claimer: Claimer,
        publisher: Publisher,
        waiter: Waiter,
        outage: Outage,
        gate: Gate,
        hooks: Hooks,
    ) -> None:
        self.outage = outage
        self._claimer = claimer
        self._publisher = publisher
        self._waiter = waiter
        self._gate = gate
        self._hooks = hooks
        self._turn = asyncio.Lock()
        self._stopping = False

    async def run(self, slots: int) -> None:
        """Work until stopped; the batches in hand are finished first."""
        tasks = [asyncio.create_task(self._work(slot)) for slot in range(slots)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        self.stop()
        await asyncio.wait(tasks)
        await self._waiter.close()
        for task in done:
            task.result()

    def stop(self) -> None:
        """Claim nothing more, settle what is encoded, release the rest."""
        self._stopping = True
        self._waiter.poke()

    def poke(self) -> None:
        """Look for work now: what claiming waited for may have come."""
        self._claimer.rest_until = 0.0
        self._waiter.poke()

    @property
    def stopping(self) -> bool:
        """Tell whether the worker is to end."""
        return self._stopping

    async def run_once(self, slot: int) -> int:
        """Settle what is due now, one batch of it, and return how many routes moved on."""
        async with self._gate.shared():
            await self._publisher.give_back()
            taken = await self._claimer.claim(slot)
            # Whoever rests meanwhile has to know until when.
            self._waiter.poke()
            moved = await self._settle(taken)
        self._hooks.progressed()
        if taken.suspects and not self._stopping:
            moved += await self._settle_suspect(slot, taken.channel)
        return moved

    async def _work(self, slot: int) -> None:
        while not self._stopping:
            try:
                async with self._turn:
                    await self._rest(slot)
                if not self._stopping:
                    began_at = monotonic()
                    self.outage.over(await self.run_once(slot), began_at)
            except RedisFault as error:
                self.outage.redis(error)
                await self._claimer.recover(error)
                # Whoever rests gives way to a claim that has to be asked again.
                self._waiter.poke()
            except StreamRefused as error:
                self.outage.stream(str(error))

    async def _rest(self, slot: int) -> None:
        """Wait until there may be work, in slices, so that the loop is seen to live."""
        while not self._stopping:
            self._hooks.progressed()
            if not self.outage.redis_is_away:
                await self._claimer.beat()
            # What a slot may hold without having heard of it does not wait for the next poll; but
            # while Redis is away, one try at a time is enough.
            at_once = self._claimer.is_unheard(slot) and not self.outage.is_on
            resting = 0.0 if at_once else self._claimer.rest_until
            pause = max(resting, self.outage.rest_until) - monotonic()
            if pause <= 0:
                break
            listen = self._claimer.listen and not self.outage.is_on
            if await self._waiter.wait(min(pause, _SLICE_S), listen=listen) and listen:
                break
        # Until the claim that follows has found something, the other slots need not try.
        self._claimer.rest()
        self.outage.trying()

    async def _settle(self, taken: Taken) -> int:
        if not taken.claim.members:
            return 0
        outcome = await self._publisher.settle(taken.channel, taken.claim, taken.since)
        self._hooks.stream_length(outcome.stream_length)
        if outcome.refused:
            raise StreamRefused(outcome.refused)
        if outcome.settled:
            self._claimer.widen()
            # A retry may be due before what the other slots rest for.
            self.poke()
        return outcome.settled

    async def _settle_suspect(self, slot: int, channel: str) -> int:
        """Settle one route that was abandoned twice, with nothing else in flight."""
        async with self._gate.alone():
            taken = await self._claimer.claim_alone(slot, channel)
            return await self._settle(taken)
