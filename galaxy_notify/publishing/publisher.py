"""Encodes what was claimed and settles it."""

from __future__ import annotations

import asyncio
from collections import Counter
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
from galaxy_notify.redis_state.leases import Publish, Release, Settled, Settlement
from galaxy_notify.redis_state.store import Store

_BREATH_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one batch came to; ``refused`` is why the stream took nothing of it."""

    settled: int = 0
    stream_length: int = 0
    refused: str = ""


class Publisher:
    """Brings each claimed route of a shard to an outcome."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        self._store = store
        self._state = state
        self._reporter = reporter
        # After half a lease a batch is settled as far as it is encoded.
        self._patience_s = state.publisher.settings.worker.lease_ttl_ms / 2000
        #: What was claimed and could not be settled; one for each slot at most.
        self._unsettled: list[Leased] = []

    async def settle(self, batch: Leased) -> BatchResult:
        """Encode and settle a batch; what there is no time for is released.

        Raises `RedisFault`; the leases then lapse, and the next claim reads what is true.
        """
        decided = await self._decide(batch)
        try:
            outcome = await self._settle(batch, decided)
            if decided.corrections:
                words = await self._store.reposition(
                    batch.channel, batch.claim.token, decided.corrections
                )
                self._reporter.healed(batch.channel, decided.corrections, words)
        except RedisFault as error:
            if error.fault.is_refusal:
                self._unsettled.append(batch)
            raise
        return outcome

    async def release_unsettled(self) -> None:
        """Release what Redis let us take but not settle: no route is to blame for that.

        Left to lapse, it would pass for abandoned. What was settled after all stays settled.
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
        decided = BatchDecisions(self._state.publisher.policy, batch.channel, batch.claim)
        end, breath = batch.since + self._patience_s, monotonic() + _BREATH_S
        for claimed in batch.claim.members:
            if (now := monotonic()) > breath:
                # A slow encoder holds up signals and the other slots no longer than this.
                self._state.progressed()
                self._reporter.log_sums()
                await asyncio.sleep(0)
                now = monotonic()
                breath = now + _BREATH_S
            # The first is encoded however late it is, or a slow link would never see any published.
            if self._state.stopping or (now > end and not decided.is_empty):
                decided.release(claimed.member)
            else:
                decided.add(claimed)
        return decided

    async def _settle(self, batch: Leased, decided: BatchDecisions) -> BatchResult:
        decisions = decided.decisions
        if not decisions:
            return BatchResult()
        settlement = Settlement(decision.outcome for decision in decisions)
        # As many may be others, where the claim arrived twice: then each member is compared.
        claimed = 0 if batch.claim.asked_again else len(batch.claim.members)
        with self._reporter.span(decisions):
            settled = await self._store.settle(
                batch.channel, batch.claim.token, settlement, claimed
            )
        self._reporter.settled(batch.channel, decisions, settled)
        words = Counter(answer.word for answer in settled.answers)
        refused = ""
        if words["expired"] or words["refused"]:
            holds = not words["published"] and self._state.publisher.policy.on_refused == "hold"
            refused = await self._resettle_refused(batch, decisions, settled, holds=holds)
        done = len(decisions) - words["stale"] - words["fault"] - words["released"]
        return BatchResult(0 if refused else done, settled.stream_length, refused)

    async def _resettle_refused(
        self, batch: Leased, decisions: Sequence[Decision], settled: Settled, *, holds: bool
    ) -> str:
        """Settle what was not published after all: it came too late, or the stream refused it.

        Where the shard *holds*, the stream takes nothing at all and no route pays for that: all are
        released, and the reason is returned. Otherwise the refused ones spend an attempt.
        """
        now = replace(batch.claim, now_ms=settled.now_ms)
        second, reason = BatchDecisions(self._state.publisher.policy, batch.channel, now), ""
        for (outcome, notification, route, _, _), answer in zip(
            decisions, settled.answers, strict=True
        ):
            if not (isinstance(outcome, Publish) and notification and route):
                continue
            if answer.word == "expired":
                second.expire(outcome.member, notification, route)
            elif answer.word == "refused":
                reason = answer.detail
                if holds:
                    second.release(outcome.member)
                else:
                    failure = Failure("gateway_stream_publish_failed", reason)
                    second.retry_or_bury(outcome.member, notification, route, failure)
        if decisions := second.decisions:
            settlement = Settlement(decision.outcome for decision in decisions)
            answers = await self._store.settle(batch.channel, batch.claim.token, settlement)
            self._reporter.settled(batch.channel, decisions, answers)
        return reason if holds else ""
