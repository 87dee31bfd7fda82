"""Asks for due routes, channel by channel, and decides when to ask next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault, Remedy
from galaxy_notify.redis_state.leases import Claim, ClaimLimits
from galaxy_notify.redis_state.store import Store
from galaxy_notify.redis_state.words import Word
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry.outage import EdgeLog

_BEAT_EVERY_S: Final = 3.0
#: What else a worker reports about itself is forgotten after 30 s, and costs more.
_IDENTIFY_EVERY_S: Final = 9.0
_NONCE_BYTES: Final = 8
_CLAIM_BYTES: Final = 4 << 20
#: What a record holds beside the payload: ids, names, keys and its frame.
_RECORD_FRAME_BYTES: Final = 4096
#: Faults after which a claim may have been made all the same.
_UNANSWERED: Final = frozenset({"timeout", "connection", UNREADABLE})


class Leased(NamedTuple):
    """A batch under a lease that is no older than *since*, of the monotonic clock."""

    channel: str
    claim: Claim
    since: float


class ClaimResult(NamedTuple):
    """What a slot got: a batch, if anything was due, and whether a suspect of *channel* is due."""

    batch: Leased | None = None
    channel: str = ""
    has_suspects: bool = False


@dataclass(frozen=True, slots=True)
class _PendingClaim:
    """A claim as it was sent; if its answer is lost, the same token gives it back."""

    channel: str
    token: str
    since: float
    alone: bool = False


class Claimer:
    """Claims for the slots of one shard."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        settings = state.publisher.settings
        #: Whether an accept could bring what the last claims did not find.
        self.may_be_woken = True
        self._store = store
        self._state = state
        self._reporter = reporter
        self._limits = claim_limits(settings)
        self._poll_s = settings.worker.poll_interval_ms / 1000
        self._next_channel = 0
        self._unanswered: dict[int, _PendingClaim] = {}
        self._beat_at = self._identified_until = 0.0
        self._clock_ms: float | None = None
        self._held = EdgeLog(state.log, "claiming held", "claiming resumed")
        self._members = self._limits.members

    def back_off(self) -> None:
        """Claim again after the poll interval, unless a claim finds something before."""
        self._state.claim_again_in(self._poll_s)

    async def claim(self, slot: int) -> ClaimResult:
        """Take a batch of the first channel that has any; each pass starts with another one."""
        await self.beat()
        if (pending := self._unanswered.get(slot)) is not None:
            if pending.alone:
                return ClaimResult(None, pending.channel, has_suspects=True)
            return _result(pending, await self._claim(slot, pending))
        waits: list[Claim] = []
        channels = self._state.channels
        first = self._next_channel = (self._next_channel + 1) % len(channels)
        # The order is the pass's own: another slot may begin one while this one waits.
        for channel in (*channels[first:], *channels[:first]):
            asked = _PendingClaim(channel, self._token(slot), monotonic())
            claim = await self._claim(slot, asked)
            if claim.members or claim.suspects:
                return _result(asked, claim)
            waits.append(claim)
        self._rest_after(waits)
        return ClaimResult()

    async def claim_alone(self, slot: int, channel: str) -> Leased | None:
        """Take one route that was abandoned twice."""
        asked = self._unanswered.get(slot)
        asked = asked or _PendingClaim(channel, self._token(slot), monotonic(), alone=True)
        return _result(asked, await self._claim(slot, asked)).batch

    def has_unanswered_claim(self, slot: int) -> bool:
        """Return whether the slot may hold routes of which it never heard."""
        return slot in self._unanswered

    def grow_batch(self) -> None:
        """Take larger batches again, now that one came through."""
        if self._limits.members < self._members:
            members = min(2 * self._limits.members, self._members)
            self._limits = replace(self._limits, members=members)

    async def on_error(self, error: RedisFault) -> None:
        """Prepare for the next try: smaller batches after a timeout, a new primary if need be."""
        self._state.claim_now()
        # A server that only reads would pass for a working one while nothing is due.
        self._beat_at = self._identified_until = 0.0
        if error.fault.code == "timeout":
            self._limits = replace(self._limits, members=max(1, self._limits.members // 2))
        if error.fault.remedy is Remedy.RESOLVE:
            await self._store.refresh_primary()

    async def beat(self) -> None:
        """Report our progress, by the server's clock as the last claim showed it.

        Raises `RedisFault`. Nothing is sent if the last time was less than three seconds ago.
        """
        if self._clock_ms is None or monotonic() < self._beat_at:
            return
        now_ms = int(self._clock_ms + monotonic() * 1000)
        # Set before: a late answer must not put off the beat that `on_error` wants.
        self._beat_at = monotonic() + _BEAT_EVERY_S
        worker_id = self._state.publisher.policy.worker_id
        if monotonic() < self._identified_until:
            await self._store.progressed(worker_id, now_ms)
            return
        self._identified_until = monotonic() + _IDENTIFY_EVERY_S - _BEAT_EVERY_S / 2
        await self._store.identify(worker_id, self._state.publisher.about, now_ms)

    async def _claim(self, slot: int, asked: _PendingClaim) -> Claim:
        asked_again = slot in self._unanswered
        self._unanswered[slot] = asked
        try:
            claim = await self._store.claim(
                asked.channel, asked.token, self._limits, alone=asked.alone
            )
        except RedisFault as error:
            if error.fault.code not in _UNANSWERED:
                del self._unanswered[slot]
            raise
        del self._unanswered[slot]
        if asked_again:
            claim = replace(claim, asked_again=True)
        self._clock_ms = claim.now_ms - monotonic() * 1000
        self._note_hold(claim)
        if claim.members or claim.suspects:
            self._state.claim_now()
        if abandoned := sum(1 for member in claim.members if member.abandoned):
            self._reporter.abandoned(asked.channel, abandoned)
        return claim

    def _rest_after(self, waits: Sequence[Claim]) -> None:
        """Rest until the next route is due, at most for the poll interval."""
        pauses = [self._poll_s]
        pauses += [(c.next_due_ms - c.now_ms) / 1000 for c in waits if c.next_due_ms is not None]
        self._state.claim_again_in(max(0.0, min(pauses)))
        self.may_be_woken = any(claim.word == Word.IDLE for claim in waits)

    def _note_hold(self, claim: Claim) -> None:
        if claim.word == Word.HELD:
            self._held.down("stream_full", f"the stream has {claim.stream_length} entries")
        elif claim.word != Word.PAUSED and self._held.is_down:
            self._held.up()

    def _token(self, slot: int) -> str:
        # The janitor reads from it how long the lease may last.
        worker_id = self._state.publisher.policy.worker_id
        return f"{worker_id}:{slot}:{self._limits.ttl_ms}:{token_hex(_NONCE_BYTES)}"


def claim_limits(settings: Settings) -> ClaimLimits:
    """Return what one claim may take; where groups hold the stream, it claims nothing when full."""
    holds = settings.gateway.trim == "acknowledged"
    return ClaimLimits(
        members=settings.worker.batch_size,
        ttl_ms=settings.worker.lease_ttl_ms,
        bytes=_CLAIM_BYTES,
        record_bytes=settings.limits.max_payload_bytes + _RECORD_FRAME_BYTES,
        hold_at=2 * settings.gateway.max_len if holds else 0,
    )


def _result(asked: _PendingClaim, claim: Claim) -> ClaimResult:
    batch = Leased(asked.channel, claim, asked.since) if claim.members else None
    return ClaimResult(batch, asked.channel, bool(claim.suspects))
