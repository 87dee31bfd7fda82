"""Claims due routes, channel by channel, and decides when to claim next."""

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
#: The description of a worker expires after 30 s and costs more to send.
_IDENTIFY_EVERY_S: Final = 9.0
_NONCE_BYTES: Final = 8
_CLAIM_BYTES: Final = 4 << 20
#: The most bytes of a record beside the payload: ids, names, keys and its frame.
_RECORD_FRAME_BYTES: Final = 4096
#: Codes of faults after which the claim may have been made.
_UNANSWERED: Final = frozenset({"timeout", "connection", UNREADABLE})


class Leased(NamedTuple):
    """A claimed batch; its lease began at *since* (monotonic clock) or later."""

    channel: str
    claim: Claim
    since: float


class ClaimResult(NamedTuple):
    """The batch of a slot, if anything was due, and whether a suspect of *channel* is due.

    A suspect is a route that was abandoned twice, and is claimed alone.
    """

    batch: Leased | None = None
    channel: str = ""
    has_suspects: bool = False


@dataclass(frozen=True, slots=True)
class _PendingClaim:
    """A claim that was sent; if its reply is lost, a repeat with its token returns the same."""

    channel: str
    token: str
    since: float
    alone: bool = False


class Claimer:
    """Claims for the slots of one shard."""

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        settings = state.publisher.settings
        #: Whether an accept may bring work that the last claims did not find.
        self.can_be_woken = True
        self._store = store
        self._state = state
        self._reporter = reporter
        self._limits = claim_limits(settings)
        self._poll_s = settings.worker.poll_interval_ms / 1000
        self._next_channel = 0
        self._unanswered: dict[int, _PendingClaim] = {}
        self._beat_at = self._identified_until = 0.0
        self._clock_ms: float | None = None
        self._hold_edges = EdgeLog(state.log, "claiming suspended", "claiming resumed")
        self._members = self._limits.members

    def back_off(self) -> None:
        """Claim again after the poll interval, or sooner if another claim finds something."""
        self._state.claim_again_in(self._poll_s)

    async def claim(self, slot: int) -> ClaimResult:
        """Claim a batch of the first channel with due routes; each pass starts at the next channel.

        Raises `RedisFault`.
        """
        await self.beat()
        if (pending := self._unanswered.get(slot)) is not None:
            if pending.alone:
                return ClaimResult(None, pending.channel, has_suspects=True)
            return _result(pending, await self._claim(slot, pending))
        empty_claims: list[Claim] = []
        channels = self._state.channels
        first = self._next_channel = (self._next_channel + 1) % len(channels)
        # Each pass has its own order: another slot may begin a pass while this one waits.
        for channel in (*channels[first:], *channels[:first]):
            pending = _PendingClaim(channel, self._token(slot), monotonic())
            claim = await self._claim(slot, pending)
            if claim.members or claim.suspects:
                return _result(pending, claim)
            empty_claims.append(claim)
        self._rest_after(empty_claims)
        return ClaimResult()

    async def claim_alone(self, slot: int, channel: str) -> Leased | None:
        """Claim one route that was abandoned twice."""
        pending = self._unanswered.get(slot)
        pending = pending or _PendingClaim(channel, self._token(slot), monotonic(), alone=True)
        return _result(pending, await self._claim(slot, pending)).batch

    def has_unanswered_claim(self, slot: int) -> bool:
        """Return whether the slot has a claim without reply, and so may hold routes."""
        return slot in self._unanswered

    def grow_batch(self) -> None:
        """Claim larger batches again, after one was settled."""
        if self._limits.members < self._members:
            members = min(2 * self._limits.members, self._members)
            self._limits = replace(self._limits, members=members)

    async def on_error(self, error: RedisFault) -> None:
        """Prepare for the next attempt: smaller batches after a timeout, or a refreshed primary."""
        self._state.claim_now()
        # While nothing is due, only the beat shows that the server takes writes.
        self._beat_at = self._identified_until = 0.0
        if error.fault.code == "timeout":
            self._limits = replace(self._limits, members=max(1, self._limits.members // 2))
        if error.fault.remedy is Remedy.RESOLVE:
            await self._store.refresh_primary()

    async def beat(self) -> None:
        """Report the progress of this worker, by the server's clock as of the last claim.

        Raises `RedisFault`. Sends nothing if the last report is less than three seconds old.
        """
        if self._clock_ms is None or monotonic() < self._beat_at:
            return
        now_ms = int(self._clock_ms + monotonic() * 1000)
        # Set before the call: a late reply must not delay the beat that `on_error` requests.
        self._beat_at = monotonic() + _BEAT_EVERY_S
        worker_id = self._state.publisher.policy.worker_id
        if monotonic() < self._identified_until:
            await self._store.progressed(worker_id, now_ms)
            return
        self._identified_until = monotonic() + _IDENTIFY_EVERY_S - _BEAT_EVERY_S / 2
        await self._store.identify(worker_id, self._state.publisher.about, now_ms)

    async def _claim(self, slot: int, pending: _PendingClaim) -> Claim:
        was_unanswered = slot in self._unanswered
        self._unanswered[slot] = pending
        try:
            claim = await self._store.claim(
                pending.channel, pending.token, self._limits, alone=pending.alone
            )
        except RedisFault as error:
            if error.fault.code not in _UNANSWERED:
                del self._unanswered[slot]
            raise
        del self._unanswered[slot]
        if was_unanswered:
            claim = replace(claim, asked_again=True)
        self._clock_ms = claim.now_ms - monotonic() * 1000
        self._note_hold(claim)
        if claim.members or claim.suspects:
            self._state.claim_now()
        if abandoned := sum(1 for member in claim.members if member.abandoned):
            self._reporter.abandoned(pending.channel, abandoned)
        return claim

    def _rest_after(self, empty_claims: Sequence[Claim]) -> None:
        """Claim again when the next route is due, or after the poll interval."""
        pauses = [self._poll_s]
        pauses += [
            (c.next_due_ms - c.now_ms) / 1000 for c in empty_claims if c.next_due_ms is not None
        ]
        self._state.claim_again_in(max(0.0, min(pauses)))
        self.can_be_woken = any(claim.word == Word.IDLE for claim in empty_claims)

    def _note_hold(self, claim: Claim) -> None:
        if claim.word == Word.HELD:
            self._hold_edges.down("stream_full", f"the stream has {claim.stream_length} entries")
        elif claim.word != Word.PAUSED and self._hold_edges.is_down:
            self._hold_edges.up()

    def _token(self, slot: int) -> str:
        # The janitor reads the duration of the lease from the token.
        worker_id = self._state.publisher.policy.worker_id
        return f"{worker_id}:{slot}:{self._limits.ttl_ms}:{token_hex(_NONCE_BYTES)}"


def claim_limits(settings: Settings) -> ClaimLimits:
    """Return the limits of one claim; if groups hold the stream, a full one stops claiming."""
    holds = settings.gateway.trim == "acknowledged"
    return ClaimLimits(
        members=settings.worker.batch_size,
        ttl_ms=settings.worker.lease_ttl_ms,
        bytes=_CLAIM_BYTES,
        record_bytes=settings.limits.max_payload_bytes + _RECORD_FRAME_BYTES,
        hold_at=2 * settings.gateway.max_len if holds else 0,
    )


def _result(pending: _PendingClaim, claim: Claim) -> ClaimResult:
    batch = Leased(pending.channel, claim, pending.since) if claim.members else None
    return ClaimResult(batch, pending.channel, bool(claim.suspects))
