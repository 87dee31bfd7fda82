"""Encodes what was claimed and settles it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from galaxy_notify.model.route import Failure
from galaxy_notify.publishing.batch import Batch, Item
from galaxy_notify.publishing.policy import Policy
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_state.calls import Claim
from galaxy_notify.redis_state.settlement import Settled
from galaxy_notify.redis_state.store import Store

_BREATH_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one batch came to; ``refused`` is why the stream took nothing of it."""

    settled: int = 0
    stream_length: int = 0
    refused: str = ""


class Publisher:
    """Brings each claimed route of a shard to an outcome."""

    def __init__(
        self,
        store: Store,
        policy: Policy,
        reporter: Reporter,
        *,
        patience_s: float,
        stopping: Callable[[], bool],
    ) -> None:
        """Prepare; encoding ends *patience_s* after the claim or once *stopping* says so."""
        self._store = store
        self.policy = policy
        self._reporter = reporter
        self._patience_s = patience_s
        self._stopping = stopping

    async def settle(self, channel: str, claim: Claim, since: float) -> Outcome:
        """Encode and settle a claim made at *since*; what there is no time for is released.

        Raises `RedisFault`; the leases then lapse, and the next claim reads what is true.
        """
        batch = await self._encode(channel, claim, since + self._patience_s)
        outcome = await self._settle(channel, claim, batch)
        if batch.corrections:
            words = await self._store.heal(channel, claim.token, batch.corrections)
            self._reporter.healed(channel, batch.corrections, words)
        return outcome

    async def _encode(self, channel: str, claim: Claim, end: float) -> Batch:
        batch = Batch(self.policy, channel, claim)
        breath = monotonic() + _BREATH_S
        for claimed in claim.members:
            if (now := monotonic()) > breath:
                # A slow encoder holds up signals and the other slots no longer than this.
                await asyncio.sleep(0)
                breath = monotonic() + _BREATH_S
            if now > end or self._stopping():
                batch.release(claimed.member)
            else:
                batch.add(claimed)
        return batch

    async def _settle(self, channel: str, claim: Claim, batch: Batch) -> Outcome:
        items = batch.items
        if not items:
            return Outcome()
        with self._reporter.span(items):
            settled = await self._store.settle(channel, claim.token, batch.settlement)
        self._reporter.settled(channel, items, settled)
        words = Counter(answer.word for answer in settled.answers)
        refused = await self._settle_again(channel, claim, items, settled)
        done = len(items) - words["stale"] - words["fault"] - words["released"]
        return Outcome(0 if refused else done, settled.stream_length, refused)

    async def _settle_again(
        self, channel: str, claim: Claim, items: Sequence[Item], settled: Settled
    ) -> str:
        """Settle what was not published after all; return why, if the stream took nothing."""
        words = {answer.word for answer in settled.answers}
        if not words & {"expired", "refused"}:
            return ""
        hold = "published" not in words and self.policy.on_refused == "hold"
        second, reason = Batch(self.policy, channel, claim), ""
        for item, answer in zip(items, settled.answers, strict=True):
            if item.outcome != "publish":
                continue
            if answer.word == "expired" and item.notification and item.route:
                second.expire(item.member, item.notification, item.route)
            elif answer.word == "refused":
                reason = answer.detail
                failure = Failure("gateway_stream_publish_failed", reason)
                second.settle_again(item, settled.now_ms, None if hold else failure)
        if second.items:
            answers = await self._store.settle(channel, claim.token, second.settlement)
            self._reporter.settled(channel, second.items, answers)
        return reason if hold else ""
