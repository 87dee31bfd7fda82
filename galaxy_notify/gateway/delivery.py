"""The way of events through the handler: to acknowledgement, parking, or another delivery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from galaxy_notify.gateway.acknowledger import Acknowledger
from galaxy_notify.gateway.event import Event
from galaxy_notify.gateway.handler import BatchRunner, HandlerFailure, HandlerRunner
from galaxy_notify.gateway.in_hand import InHand
from galaxy_notify.gateway.options import ConsumerOptions
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag, together
from galaxy_notify.redis_client.faults import RedisFault

A = TypeVar("A")
T = TypeVar("T")


class Lookup(NamedTuple):
    """What the marks say of some events."""

    #: Ids of events that the group has handled.
    handled: set[str]
    #: Stream ids of entries whose event may be handled before them: look these up once more.
    doubtful: set[str]


class Delivery:
    """Gives the events of one shard to the handler, one at a time for each user.

    It knows what is in hand, so that nothing is delivered a second time meanwhile.
    """

    def __init__(
        self,
        runner: HandlerRunner,
        options: ConsumerOptions,
        acks: Acknowledger,
        retry: RetryUntilStopped,
        in_hand: InHand,
        stop: StopFlag,
    ) -> None:
        self._runner = runner
        self._options = options
        self._acks = acks
        self._retry = retry
        self._stop = stop
        self._log = acks.log
        #: One for each handler that may run at a time.
        self._slots = asyncio.Semaphore(options.concurrency)
        self._turns_asked = 0
        self.in_hand = in_hand
        self._running: set[str] = set()

    @property
    def most(self) -> int:
        """How many entries to read at a time."""
        return self._options.batch

    @property
    def most_taken_over(self) -> int:
        """How many entries of a consumer that died are taken over at a time."""
        return 1

    def is_held(self, stream_id: str) -> bool:
        """Return whether an entry is in hand, or handled and not yet acknowledged."""
        return stream_id in self.in_hand or self._acks.is_unacknowledged(stream_id)

    async def look_up(self, events: Sequence[Event], retry: RetryUntilStopped) -> Lookup:
        """Return which of the events were handled already; raise `Stopped`."""
        ids = [event.event_id for event in events]
        doubtful: set[str] = set()
        if len(set(ids)) < len(ids) or not self._running.isdisjoint(ids):
            known = set(self._running)
            for event in events:
                if event.event_id in known:
                    doubtful.add(event.stream_id)
                known.add(event.event_id)
        return Lookup(await self._acks.handled(ids, retry), doubtful)

    async def deliver(self, events: Sequence[Event], lookup: Lookup, read_at: float) -> None:
        """Deliver events that were just read, each user's in order; raise `Stopped`.

        What `in_hand` still has of them was not delivered.
        """
        if self._options.concurrency == 1:
            await self._lane(events, lookup, read_at)
            return
        lanes: dict[str, list[Event]] = {}
        for event in events:
            lanes.setdefault(event.user_id, []).append(event)
        await together(self._stop, *(self._lane(lane, lookup, read_at) for lane in lanes.values()))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a slot that a lane gives up after its next event."""
        self._turns_asked += 1
        try:
            await self._slots.acquire()
        finally:
            self._turns_asked -= 1
        try:
            if self._acks.is_full:
                await self._acks.flush()
            yield
        finally:
            self._slots.release()

    async def deliver_one(self, event: Event, lookup: Lookup) -> None:
        """Handle an event unless it was handled already; the caller holds a slot."""
        event_id = event.event_id
        if event_id in self._running:
            return  # a duplicate is in hand; the next sweep looks this one up again
        self._running.add(event_id)
        try:
            if await self._was_handled(event, lookup):
                self._acks.finish(event)
            else:
                await self._attempt(event)
        finally:
            self._running.discard(event_id)

    async def _lane(self, events: Iterable[Event], lookup: Lookup, read_at: float) -> None:
        """Deliver events one after the other, in a slot that is given up only where one waits."""
        async with self._slots:
            for event in events:
                if self._acks.is_full:
                    await self._acks.flush()
                if self._turns_asked:
                    self._slots.release()
                    await self._slots.acquire()
                if self._stop or self.in_hand.is_late(read_at):
                    return
                await self.deliver_one(event, lookup)
                self.in_hand.discard([event.stream_id])

    async def _was_handled(self, event: Event, lookup: Lookup) -> bool:
        if event.event_id in lookup.handled or self._acks.is_being_marked(event.event_id):
            return True
        if event.stream_id not in lookup.doubtful:
            return False
        return bool(await self._acks.handled([event.event_id], self._retry))

    async def _attempt(self, event: Event) -> None:
        try:
            failure = await self._runner.run(event)
        except RedisFault as error:
            # Others, whose Redis may answer, do not wait for this one.
            failure = HandlerFailure(str(error), uncounted=True)
        if failure is None:
            self._acks.finish(event)
        else:
            await self._failed(event, failure)

    async def _answered(self, run: Callable[[A], Awaitable[T]], given: A) -> T:
        """Run the handler until its Redis has answered it; raise `Stopped`.

        This is one delivery, however long it takes: what is in hand stays this consumer's, with
        the number of deliveries that it had before.
        """
        try:
            return await run(given)
        except RedisFault as error:
            failed: RedisFault | None = error

        async def again() -> T:
            nonlocal failed
            if failed is None:
                await self.in_hand.keep()
                try:
                    return await run(given)
                except RedisFault as error:
                    failed = error
            fault, failed = failed, None
            # Before the pause, which may be longer than others leave entries alone.
            with suppress(RedisFault):
                await self.in_hand.keep()
            raise fault

        return await self._retry(again)

    async def _failed(self, event: Event, failure: HandlerFailure) -> None:
        if failure.uncounted:
            await self._retry(lambda: self.in_hand.give_back([event.stream_id]))
        elif failure.final or event.deliveries >= self._options.max_deliveries:
            await self._acks.park(event, failure.reason)
        else:
            log = self._log.info if self._stop else self._log.warning
            log(
                "handler failed",
                event_id=event.event_id,
                deliveries=event.deliveries,
                reason=failure.reason,
            )


class BatchDelivery(Delivery):
    """Gives the events of one shard to a handler of many at once.

    Events at their first delivery share a batch, and so do those that were in hand when a process
    died, once: there may be as many as it had read, and their users wait for them. What failed, or
    was in hand when another process died, is delivered again alone: so an event that makes every
    batch fail is found and parked, and its neighbours are not.
    """

    def __init__(self, runner: BatchRunner, *arguments: Any) -> None:
        super().__init__(runner, *arguments)
        self._batch_runner = runner

    @property
    def most(self) -> int:
        return self._options.batch_max

    @property
    def most_taken_over(self) -> int:
        return self._options.batch_max

    async def deliver(self, events: Sequence[Event], lookup: Lookup, read_at: float) -> None:
        async with self._slots:
            await self._acks.flush()
            if self._stop or self.in_hand.is_late(read_at):
                return
            sure = [event for event in events if event.stream_id not in lookup.doubtful]
            await self._deliver_batch(sure, lookup.handled)
            self.in_hand.discard([event.stream_id for event in sure])
        if len(sure) < len(events):
            doubtful = (event for event in events if event.stream_id in lookup.doubtful)
            await self._lane(doubtful, lookup, read_at)

    async def _deliver_batch(self, events: Sequence[Event], handled: set[str]) -> None:
        batch = events
        # Another delivery of the same event may have begun since they were looked up.
        if known := handled | self._running:
            batch = [event for event in events if event.event_id not in known]
            self._acks.finish_all(event for event in events if event.event_id in handled)
        if not batch:
            return
        ids = {event.event_id for event in batch}
        self._running |= ids
        try:
            await self._attempt_all(batch)
        finally:
            self._running -= ids

    async def _attempt_all(self, batch: Sequence[Event]) -> None:
        outcome = await self._answered(self._batch_runner.run_batch, batch)
        if not isinstance(outcome, HandlerFailure):
            self._acks.finish_all(event for event in batch if event.event_id not in outcome)
            if outcome:
                await self._failed_of_batch(batch, outcome)
        elif len(batch) == 1:
            await self._failed(batch[0], outcome)
        elif outcome.invalid_answer:
            self._log.error("batch answer invalid", events=len(batch), reason=outcome.reason)
        else:
            log = self._log.info if self._stop else self._log.warning
            log("batch failed", events=len(batch), reason=outcome.reason)

    async def _failed_of_batch(
        self, batch: Sequence[Event], outcome: Mapping[str, HandlerFailure]
    ) -> None:
        failed = [(event, outcome[event.event_id]) for event in batch if event.event_id in outcome]
        for event, failure in failed:
            if not failure.uncounted:
                await self._failed(event, failure)
        left = [(event.stream_id, failure.reason) for event, failure in failed if failure.uncounted]
        if left:
            self._log.info("events left for later", events=len(left), reason=left[0][1])
            await self._retry(lambda: self.in_hand.give_back([stream_id for stream_id, _ in left]))
