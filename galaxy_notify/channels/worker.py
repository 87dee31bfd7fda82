"""The worker of one external channel: places that claim a route, send it, and record its end.

A place claims a single route, and only when it is ready to send it. So a lease stands for a send
that may have begun, and a route that waits holds no lease and no place.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from galaxy_notify.channels.endings import Ending
from galaxy_notify.channels.kind import Kind
from galaxy_notify.channels.known_endings import KnownEndings
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.channels.sending import Sending
from galaxy_notify.channels.sources import Held, Sources
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.leases import Correction
from galaxy_notify.redis_state.settlement import Release
from galaxy_notify.redis_state.words import Word

#: The lease is kept clear of its end by this share of it: the clocks of two machines differ a bit.
_LEASE_SHARE: Final = 0.9
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0


class ChannelWorker:
    """Works one channel with a number of places, in one event loop."""

    def __init__(
        self, kind: Kind, sources: Sources, sending: Sending, reporter: ChannelReporter
    ) -> None:
        self.sources = sources
        self._kind = kind
        self._sending = sending
        self._reporter = reporter
        self._known = KnownEndings()

    async def run(self, places: int) -> None:
        """Send until stopped; what is being sent ends first. Raises the error of a defect."""
        tasks = [asyncio.create_task(self._work(place)) for place in range(places)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        self.stop()
        await asyncio.wait(tasks)
        await self._kind.close()
        self._reporter.log_sums(at_end=True)
        for task in done:
            task.result()

    def stop(self) -> None:
        """Claim no more routes."""
        self.sources.stop()

    def log_sums(self) -> None:
        """Log what has ended since the last line, at most once a second."""
        self._reporter.log_sums()

    async def _work(self, place: int) -> None:
        """Claim and send one route after the other."""
        while (source := await self.sources.next()) is not None:
            try:
                held = await source.claim(place)
            except RedisFault as error:
                await source.shard.failed(error)
                held = None
            # Whoever waits looks again: there may be more routes, or none.
            self.sources.wake()
            if held is None:
                self.sources.unused()
            else:
                await self._carry(held)

    async def _carry(self, held: Held) -> None:
        """Send one route and record how it ends."""
        if held.claimed.abandoned:
            self._reporter.abandoned(held.claimed.abandoned)
        ending = self._known.take(held.claimed)
        # A release forgets that it was abandoned, so only what never was is given back.
        if ending is None and self.sources.is_stopping and not held.claimed.abandoned:
            ending = Ending(Release(held.claimed.member, 0))
        if ending is None:
            ending = await self._sending.send(held)
        if not ending.was_sent:
            self.sources.unused()
        if not await self._record(held, ending) and not isinstance(ending.outcome, Release):
            self._known.keep(held.claimed, ending._replace(was_sent=False))
            self._reporter.outcome_kept(ending)

    async def _record(self, held: Held, ending: Ending) -> bool:
        """Record an ending while the lease lasts, however often Redis fails; return whether it is.

        A repeat is safe: where it was recorded already, it is answered ``stale``.
        """
        source = held.source
        last = held.since + _LEASE_SHARE * source.limits.ttl_ms / 1000
        pause_s, is_repeat = _PAUSE_S, False
        while True:
            try:
                if await self._recorded(held, ending, is_repeat=is_repeat):
                    return True
            except RedisFault as error:
                is_repeat = True
                await source.shard.failed(error)
            left_s = last - monotonic()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(left_s, pause_s))
            now = monotonic()
            # A place that tries now may set this far ahead, and it ends early if Redis answers.
            if min(last, source.shard.retry_at) > now:
                await source.shard.wait(min(last, source.shard.retry_at) - now)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _recorded(self, held: Held, ending: Ending, *, is_repeat: bool) -> bool:
        """Record an ending; return False if Redis refused it for now. Raises `RedisFault`."""
        source = held.source
        store, token, began = source.shard.store, held.claim.token, monotonic()
        if isinstance(ending.outcome, Correction):
            (word,) = await store.reposition(source.channel, token, [ending.outcome])
            self._reporter.repositioned(ending.outcome, word)
            return True
        ended = await store.end(source.channel, token, [ending.outcome])
        source.shard.answered(began)
        (answer,) = ended.answers
        if answer.word == Word.FAULT:
            return False
        # The call before it may have been carried out, although it was not answered.
        if not (is_repeat and answer.word == Word.STALE):
            self._reporter.ended(ending, answer, ended.now_ms)
        self._claim_when_due(held, ending, answer, ended.now_ms)
        return True

    def _claim_when_due(self, held: Held, ending: Ending, answer: Answer, now_ms: int) -> None:
        """Claim again when a route is due that this ending has put off."""
        if answer.word == Word.RETRIED:
            held.source.claim_in((int(answer.detail) - now_ms) / 1000)
            self.sources.wake()
        elif isinstance(ending.outcome, Release):
            held.source.claim_in(ending.outcome.delay_ms / 1000)
            self.sources.wake()
