"""Claims due routes, channel by channel, and decides when to claim next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from time import monotonic, time_ns
from typing import Final, NamedTuple

from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.publishing.turns import ChannelTurns
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault, Remedy
from galaxy_notify.redis_state.leases import Claim, ClaimLimits
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.redis_state.store import Store
from galaxy_notify.redis_state.words import Word
from galaxy_notify.settings import Settings, channel_weights
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
    """What was due for a slot: routes that the script published, and a batch under lease.

    *has_suspects* reports a route of *channel* that was abandoned twice; it is claimed alone.
    """

    batch: Leased | None = None
    channel: str = ""
    has_suspects: bool = False
    published: int = 0


@dataclass(frozen=True, slots=True)
class _PendingClaim:
    """A claim that was sent; if its reply is lost, a repeat with its token returns the same."""

    channel: str
    token: str
    since: float
    alone: bool = False


class Claimer:
    """Takes what is due, for the slots of one shard.

    One script publishes what needs no lease (docs/decisions/0014-publish-in-one-script.md); what it
    leaves is claimed before it runs again.
    """

    def __init__(self, store: Store, state: ShardState, reporter: Reporter) -> None:
        settings = state.publisher.settings
        #: Whether an accept may bring work that the last claims did not find.
        self.can_be_woken = True
        self._store = store
        self._state = state
        self._reporter = reporter
        self._limits = claim_limits(settings)
        self._poll_s = settings.worker.poll_interval_ms / 1000
        weights = channel_weights(settings.worker.weights)
        self._turns = ChannelTurns(state.stream_channels, weights)
        self._unanswered: dict[int, _PendingClaim] = {}
        self._beat_at = self._identified_until = 0.0
        self._clock_ms: float | None = None
        self._hold_edges = EdgeLog(state.log, "claiming suspended", "claiming resumed")
        self._members = self._limits.members
        #: Whether the last call of the script found as much as it may take: there is more.
        self._has_backlog = False

    def back_off(self) -> None:
        """Claim again after the poll interval, or sooner if another claim finds something."""
        self._state.claim_again_in(self._poll_s)

    async def claim(self, slot: int) -> ClaimResult:
        """Take a batch of the first channel with due routes, in the order of this pass.

        Raises `RedisFault`.
        """
        await self.beat()
        if (pending := self._unanswered.get(slot)) is not None:
            if pending.alone:
                return ClaimResult(None, pending.channel, has_suspects=True)
            return _result(pending, await self._claim(slot, pending))
        empty: list[Claim | Published] = []
        # Each pass has its own order: another slot may begin a pass while this one waits.
        for channel in self._turns.next_order():
            published, members = 0, self._limits.members
            if self._publishes_by_script:
                found = await self._publish(channel)
                published, members = found.routes, found.left
                if not members or self._state.stopping:
                    if published:
                        return ClaimResult(None, channel, published=published)
                    empty.append(found)
                    continue
            pending = _PendingClaim(channel, self._token(slot), monotonic())
            claim = await self._claim(slot, pending, members)
            if published or claim.members or claim.suspects:
                return _result(pending, claim)._replace(published=published)
            empty.append(claim)
        self._rest_after(empty)
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
        if monotonic() < self._beat_at:
            return
        if not self._state.stream_channels:
            # It serves external channels alone: no claim of this loop has the server's clock.
            self._clock_ms = await self._store.clock_ms() - monotonic() * 1000
        if self._clock_ms is None:
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

    @property
    def _publishes_by_script(self) -> bool:
        # In debug mode each route has a line of its own, and the script reports only sums.
        return self._state.publisher.policy.by_script and not self._reporter.logs_each_route

    async def _publish(self, channel: str) -> Published:
        if self._has_backlog:
            # The other slot need not wait for this reply: its call is ready when this one ends.
            self._state.claim_now()
        started_ns = time_ns()
        terms = self._state.publisher.policy.publish_terms
        published = await self._store.publish(channel, self._limits, terms)
        self._note_answer(published)
        self._has_backlog = published.routes + published.left >= self._limits.members
        if published.routes or published.left:
            self._state.claim_now()
        if published.routes:
            self._reporter.published(channel, published, started_ns)
            self._state.settled_batch(published.stream_length)
            if not published.left:
                # Otherwise the claim of the rest decides: after a timeout it must stay small.
                self.grow_batch()
            await self._store.confirm_published()
        return published

    async def _claim(self, slot: int, pending: _PendingClaim, members: int | None = None) -> Claim:
        was_unanswered = slot in self._unanswered
        self._unanswered[slot] = pending
        limits = self._limits if members is None else replace(self._limits, members=members)
        try:
            claim = await self._store.claim(
                pending.channel, pending.token, limits, alone=pending.alone
            )
        except RedisFault as error:
            if error.fault.code not in _UNANSWERED:
                del self._unanswered[slot]
            raise
        del self._unanswered[slot]
        if was_unanswered:
            claim = replace(claim, asked_again=True)
        self._note_answer(claim)
        if claim.members or claim.suspects:
            self._state.claim_now()
        if abandoned := sum(1 for member in claim.members if member.abandoned):
            self._reporter.abandoned(pending.channel, abandoned)
        return claim

    def _rest_after(self, empty: Sequence[Claim | Published]) -> None:
        """Claim again when the next route is due, or after the poll interval."""
        pauses = [self._poll_s]
        pauses += [(c.next_due_ms - c.now_ms) / 1000 for c in empty if c.next_due_ms is not None]
        self._state.claim_again_in(max(0.0, min(pauses)))
        self.can_be_woken = any(answer.word == Word.IDLE for answer in empty)

    def _note_answer(self, answer: Claim | Published) -> None:
        """Note the server's clock, and whether the stream is full."""
        self._clock_ms = answer.now_ms - monotonic() * 1000
        if answer.word == Word.HELD:
            self._hold_edges.down("stream_full", f"the stream has {answer.stream_length} entries")
        elif answer.word != Word.PAUSED and self._hold_edges.is_down:
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
