"""Encodes and settles claimed batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

from galaxy_notify.model.route import Failure
from galaxy_notify.publishing.batch import BatchDecisions, Decision
from galaxy_notify.publishing.claimer import Leased
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.settlement import Publish, Release, Settled, Settlement
from galaxy_notify.redis_state.store import Store
from galaxy_notify.redis_state.words import Word

_YIELD_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of one batch; ``refused`` is why the stream took no event, empty otherwise."""

    settled: int = 0
    stream_length: int = 0
    refused: str = ""


class Publisher:
    """Encodes and settles each claimed route of a shard."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        self._store = store
        self._state = state
        self._reporter = reporter
        # After half a lease, the routes encoded so far are settled.
        self._half_lease_s = state.publisher.settings.worker.lease_ttl_ms / 2000
        #: Claimed batches that could not be settled; at most one for each slot.
        self._unsettled: list[Leased] = []

    async def settle(self, batch: Leased) -> BatchResult:
        """Encode and settle a batch; routes for which the time is too short are released.

        Raises `RedisFault`; the leases then expire, and the next claim reads the stored state.
        """
        batch_decisions = await self._decide(batch)
        try:
            outcome = await self._settle(batch, batch_decisions)
            if batch_decisions.corrections:
                answers = await self._store.reposition(
                    batch.channel, batch.claim.token, batch_decisions.corrections
                )
                self._reporter.repositioned(batch.channel, batch_decisions.corrections, answers)
        except RedisFault as error:
            if error.fault.is_refusal:
                self._unsettled.append(batch)
            raise
        return outcome

    async def release_unsettled(self) -> None:
        """Release batches that Redis let us claim but not settle; no route spends an attempt.

        If their leases expired instead, the routes would count as abandoned. Routes that were
        settled after all stay settled. Raises `RedisFault`.
        """
        while self._unsettled:
            batch = self._unsettled.pop()
            settlement = Settlement(Release(claimed.member) for claimed in batch.claim.members)
            try:
                await self._store.settle(batch.channel, batch.claim.token, settlement)
            except RedisFault:
                self._unsettled.append(batch)
                raise

    async def _decide(self, batch: Leased) -> BatchDecisions:
        batch_decisions = BatchDecisions(self._state.publisher.policy, batch.channel, batch.claim)
        end, yield_at = batch.since + self._half_lease_s, monotonic() + _YIELD_EVERY_S
        for claimed in batch.claim.members:
            if (now := monotonic()) > yield_at:
                # A slow encoder delays signals and the other slots by at most this time.
                self._state.progressed()
                self._reporter.log_sums()
                await asyncio.sleep(0)
                now = monotonic()
                yield_at = now + _YIELD_EVERY_S
            # The first is always encoded: otherwise a slow link would never publish any.
            if self._state.stopping or (now > end and not batch_decisions.is_empty):
                batch_decisions.release(claimed.member)
            else:
                batch_decisions.add(claimed)
        return batch_decisions

    async def _settle(self, batch: Leased, batch_decisions: BatchDecisions) -> BatchResult:
        decisions = batch_decisions.decisions
        if not decisions:
            return BatchResult()
        settlement = Settlement(decision.outcome for decision in decisions)
        # A claim that arrived twice may hold other members: then settle compares each one.
        claimed = 0 if batch.claim.asked_again else len(batch.claim.members)
        with self._reporter.span(decisions):
            settled = await self._store.settle(
                batch.channel, batch.claim.token, settlement, claimed
            )
        self._reporter.settled(batch.channel, decisions, settled)
        counts = settled.words
        refused = ""
        if counts[Word.EXPIRED] or counts[Word.REFUSED]:
            holds = not counts[Word.PUBLISHED] and self._state.publisher.policy.on_refused == "hold"
            refused = await self._resettle_refused(batch, decisions, settled, holds=holds)
        done = len(decisions) - counts[Word.STALE] - counts[Word.FAULT] - counts[Word.RELEASED]
        return BatchResult(0 if refused else done, settled.stream_length, refused)

    async def _resettle_refused(
        self, batch: Leased, decisions: Sequence[Decision], settled: Settled, *, holds: bool
    ) -> str:
        """Settle the routes that were not published: expired meanwhile, or refused by the stream.

        If the shard *holds*, the stream takes no event at all: all routes are released without an
        attempt, and the reason is returned. Otherwise refused routes spend an attempt.
        """
        now = replace(batch.claim, now_ms=settled.now_ms)
        second, reason = BatchDecisions(self._state.publisher.policy, batch.channel, now), ""
        for (outcome, notification, route, _, _), answer in zip(
            decisions, settled.answers, strict=True
        ):
            if not (isinstance(outcome, Publish) and notification and route):
                continue
            if answer.word == Word.EXPIRED:
                second.expire(outcome.member, notification, route)
            elif answer.word == Word.REFUSED:
                reason = answer.detail
                if holds:
                    second.release(outcome.member)
                else:
                    failure = Failure("gateway_stream_publish_failed", reason)
                    second.retry_or_dead_letter(outcome.member, notification, route, failure)
        if decisions := second.decisions:
            settlement = Settlement(decision.outcome for decision in decisions)
            answers = await self._store.settle(batch.channel, batch.claim.token, settlement)
            self._reporter.settled(batch.channel, decisions, answers)
        return reason if holds else ""
