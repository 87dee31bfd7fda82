"""Encodes what was claimed and settles it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.model.route import Failure
from galaxy_notify.publishing.batch import Batch, Item
from galaxy_notify.publishing.policy import Policy
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_state.calls import Claim
from galaxy_notify.redis_state.settlement import Settled, Settlement
from galaxy_notify.redis_state.store import Store

_BREATH_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one batch came to; ``refused`` is why the stream took nothing of it."""

    settled: int = 0
    stream_length: int = 0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a batch may be encoded, who may end it sooner, and who hears that it goes on."""

    patience_s: float
    stopping: Callable[[], bool]
    progressed: Callable[[], None]


class _Owed(NamedTuple):
    """What was claimed and could not be settled; one for each slot at most."""

    channel: str
    token: str
    members: list[bytes]


class Publisher:
    """Brings each claimed route of a shard to an outcome."""

    def __init__(self, store: Store, policy: Policy, reporter: Reporter, pace: Pace) -> None:
        self._store = store
        self.policy = policy
        self._reporter = reporter
        self._pace = pace
        self._owed: list[_Owed] = []

    async def settle(self, channel: str, claim: Claim, since: float) -> Outcome:
        """Encode and settle a claim made at *since*; what there is no time for is released.

        Raises `RedisFault`; the leases then lapse, and the next claim reads what is true.
        """
        batch = await self._encode(channel, claim, since + self._pace.patience_s)
        try:
            outcome = await self._settle(channel, claim, batch)
            if batch.corrections:
                words = await self._store.heal(channel, claim.token, batch.corrections)
                self._reporter.healed(channel, batch.corrections, words)
        except RedisFault as error:
            if error.fault.is_refusal:
                members = [claimed.member for claimed in claim.members]
                self._owed.append(_Owed(channel, claim.token, members))
            raise
        return outcome

    async def give_back(self) -> None:
        """Release what Redis let us take but not settle: no route is to blame for that.

        Left to lapse, it would pass for abandoned. What was settled after all stays settled.
        """
        while self._owed:
            owed = self._owed.pop()
            settlement = Settlement()
            for member in owed.members:
                settlement.release(member)
            try:
                await self._store.settle(owed.channel, owed.token, settlement)
            except RedisFault:
                self._owed.append(owed)
                raise

    async def _encode(self, channel: str, claim: Claim, end: float) -> Batch:
        batch, pace = Batch(self.policy, channel, claim), self._pace
        breath = monotonic() + _BREATH_S
        for claimed in claim.members:
            if (now := monotonic()) > breath:
                # A slow encoder holds up signals and the other slots no longer than this.
                pace.progressed()
                await asyncio.sleep(0)
                now = monotonic()
                breath = now + _BREATH_S
            # The first is encoded however late it is, or a slow link would never see any published.
            if pace.stopping() or (now > end and batch.items):
                batch.release(claimed.member)
            else:
                batch.add(claimed)
        return batch

    async def _settle(self, channel: str, claim: Claim, batch: Batch) -> Outcome:
        items = batch.items
        if not items:
            return Outcome()
        # As many may be others, where the claim arrived twice: then each member is compared.
        claimed = 0 if claim.asked_again else len(claim.members)
        with self._reporter.span(items):
            settled = await self._store.settle(channel, claim.token, batch.settlement, claimed)
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
