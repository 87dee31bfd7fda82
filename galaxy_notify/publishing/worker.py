"""The loop of a shard: claim, encode and settle batch after batch; wait when nothing is due.

A wait ends with a wake-up from an accept, a change of state, or the time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.claimer import Claimer, Leased
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.store import Store

_SLICE_S: Final = 1.0


class Pass(NamedTuple):
    """The result of one pass: how many routes were claimed, and how many were settled."""

    claimed: int
    moved: int


class ShardWorker:
    """Publishes the due routes of one shard. Its slots claim in turn and settle in parallel."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        self._state = state
        self._reporter = reporter
        self._claimer = Claimer(store, state, reporter)
        self._publisher = Publisher(store, state, reporter)
        self._waiter = Waiter(store, state)
        self._turn = asyncio.Lock()

    async def run(self, slots: int) -> None:
        """Publish until the shard stops; finish the batches in flight first."""
        tasks = [asyncio.create_task(self._work(slot)) for slot in range(slots)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        self._state.stop()
        await asyncio.wait(tasks)
        await self._waiter.close()
        for task in done:
            task.result()

    async def run_once(self, slot: int) -> Pass:
        """Settle one batch of due routes, and a suspect if there is one; raise `RedisFault`."""
        async with self._state.publisher.gate.shared():
            await self._publisher.release_unsettled()
            result = await self._claimer.claim(slot)
            # The waiting slot must read the new time of the next claim.
            self._state.wake()
            done = await self._settle(result.batch, result.published)
        self._progressed()
        if not result.has_suspects or self._state.stopping:
            return done
        async with self._state.publisher.gate.exclusive():
            suspect = await self._settle(await self._claimer.claim_alone(slot, result.channel))
        return Pass(done.claimed + suspect.claimed, done.moved + suspect.moved)

    async def _work(self, slot: int) -> None:
        health = self._state.health
        while not self._state.stopping:
            try:
                async with self._turn:
                    await self._rest(slot)
                if not self._state.stopping:
                    started_at = monotonic()
                    health.passed((await self.run_once(slot)).moved, started_at)
            except RedisFault as error:
                health.redis_failed(error)
                await self._claimer.on_error(error)
                # Wake the waiting slot: the claim without reply is repeated first.
                self._state.wake()
            except StreamRefused as error:
                health.stream_refused(str(error))

    async def _rest(self, slot: int) -> None:
        """Wait until there may be work, in slices, so that the watchdog sees progress."""
        state, health = self._state, self._state.health
        while not state.stopping:
            self._progressed()
            if not health.redis_is_away:
                await self._claimer.beat()
            # A claim without reply is repeated without waiting for the next poll; but while Redis
            # is away, one attempt at a time is enough.
            has_unanswered = self._claimer.has_unanswered_claim(slot) and not health.reason
            pause = max(0.0 if has_unanswered else state.claim_at, health.retry_at) - monotonic()
            if pause <= 0:
                break
            listen = self._claimer.can_be_woken and not health.reason
            if await self._waiter.wait(min(pause, _SLICE_S), listen=listen) and listen:
                break
        # Until the next claim finds something, the other slots need not claim.
        self._claimer.back_off()
        health.attempt()

    async def _settle(self, batch: Leased | None, published: int = 0) -> Pass:
        """Settle the batch, if there is one; *published* routes needed no lease."""
        if batch is None:
            return Pass(published, published)
        outcome = await self._publisher.settle(batch)
        self._state.settled_batch(outcome.stream_length)
        if outcome.refused:
            raise StreamRefused(outcome.refused)
        if outcome.settled:
            self._claimer.grow_batch()
            # A retry may be due before the time for which the other slots wait.
            self._state.claim_now()
        return Pass(len(batch.claim.members) + published, outcome.settled + published)

    def _progressed(self) -> None:
        self._state.progressed()
        self._reporter.log_sums()


#: A blocking command must end within the time limit of a call, and a stop waits for it.
LISTEN_S: Final = 1.0
_WRONG_TYPE_S: Final = 60.0


class Waiter:
    """Waits for work of a shard. The next wait continues a call in flight; none is cancelled."""

    def __init__(self, store: Store, state: ShardState) -> None:
        self._store = store
        self._state = state
        self._listening: asyncio.Task[bool] | None = None
        self._listen_after = 0.0

    async def wait(self, seconds: float, *, listen: bool) -> bool:
        """Wait for at most *seconds*; return whether a wake-up came. Raises `RedisFault`."""
        awaited: set[asyncio.Future[None] | asyncio.Task[bool]] = {self._state.next_wakeup()}
        if listen and self._listening is None and monotonic() >= self._listen_after:
            waiting = self._store.wait_for_wakeup(self._state.stream_channels, LISTEN_S)
            self._listening = asyncio.create_task(waiting)
        if self._listening is not None:
            awaited.add(self._listening)
        await asyncio.wait(awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self._was_woken()

    async def close(self) -> None:
        """Wait for the call in flight, if any, and wake another worker.

        The call may have consumed the wake-up for a route that this worker no longer publishes.
        """
        if self._listening is not None:
            await asyncio.wait({self._listening})
            self._listening.exception()
            self._listening = None
        # After an outage the other workers claim by themselves.
        with suppress(RedisFault):
            await self._store.notify_channels(self._state.stream_channels)

    def _was_woken(self) -> bool:
        if self._listening is None or not self._listening.done():
            return False
        listening, self._listening = self._listening, None
        try:
            return listening.result()
        except RedisFault as error:
            if error.fault.code != "WRONGTYPE":
                raise
            # The key belongs to another application: the poll interval still finds due routes.
            self._listen_after = monotonic() + _WRONG_TYPE_S
            self._state.log.warning(
                "wake-ups unavailable", code=error.fault.code, reason=error.fault.text
            )
            return False
