"""Asks for due routes, channel by channel, and remembers when to ask next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from time import monotonic
from typing import Final

from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault, Remedy
from galaxy_notify.redis_state.calls import Claim, ClaimLimits
from galaxy_notify.redis_state.store import Store
from galaxy_notify.telemetry.outage import EdgeLog

_BEAT_EVERY_S: Final = 3.0
#: What a worker tells about itself besides is forgotten after 30 s, and costs more.
_INTRODUCED_EVERY_S: Final = 9.0
_NONCE_BYTES: Final = 8
#: Faults after which a claim may have been made all the same.
_UNHEARD: Final = frozenset({"timeout", "connection", UNREADABLE})


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim took, of which channel; ``suspects`` are due but must be taken alone.

    ``since`` (of the monotonic clock) is when it was asked for: no lease of it is older.
    """

    channel: str
    claim: Claim
    since: float

    @property
    def suspects(self) -> int:
        """Return how many suspects the claim passed over."""
        return self.claim.suspects


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim as it was sent; if its answer is lost, the same token gives it back."""

    channel: str
    token: str
    since: float
    alone: bool = False


class Claimer:
    """Claims for the slots of one shard.

    After a claim that found nothing, ``rest_until`` (of the monotonic clock) is when to ask
    again; ``listen`` says whether a wake-up could bring anything before.
    """

    def __init__(
        self,
        store: Store,
        reporter: Reporter,
        channels: Sequence[str],
        limits: ClaimLimits,
        poll_interval_ms: int,
    ) -> None:
        self.rest_until = 0.0
        self.listen = True
        self._store = store
        self._reporter = reporter
        self._channels = channels
        self._limits = limits
        self._members = limits.members
        self._poll_s = poll_interval_ms / 1000
        self._next_channel = 0
        self._unanswered: dict[int, _Asked] = {}
        self._beat_at = self._introduced_until = 0.0
        self._clock_ms: float | None = None
        self._worker_id = ""
        self._about: dict[str, str] = {}
        self._held = EdgeLog(reporter.log, "claiming held", "claiming resumed")

    def introduce(self, worker_id: str, about: dict[str, str]) -> None:
        """Say who claims; *about* is shown with the worker in the status."""
        self._worker_id, self._about = worker_id, about

    def rest(self) -> None:
        """Ask again after the poll interval, unless a claim finds something before."""
        self.rest_until = monotonic() + self._poll_s

    async def claim(self, slot: int) -> Taken:
        """Take a batch of the first channel that has any; each pass starts with another one."""
        await self.beat()
        if (lost := self._unanswered.get(slot)) is not None:
            if lost.alone:
                return Taken(lost.channel, Claim("idle", lost.token, 0, suspects=1), lost.since)
            return await self._claim(slot, lost)
        waits: list[Claim] = []
        taken = None
        first = self._next_channel = (self._next_channel + 1) % len(self._channels)
        # The order is the pass's own: another slot may begin one while this one waits.
        for channel in (*self._channels[first:], *self._channels[:first]):
            taken = await self._claim(slot, _Asked(channel, self._token(slot), monotonic()))
            if taken.claim.members or taken.suspects:
                return taken
            waits.append(taken.claim)
        assert taken is not None
        self._rest_after(waits)
        return taken

    async def claim_alone(self, slot: int, channel: str) -> Taken:
        """Take one route that was abandoned twice."""
        asked = self._unanswered.get(slot)
        asked = asked or _Asked(channel, self._token(slot), monotonic(), alone=True)
        return await self._claim(slot, asked)

    def is_unheard(self, slot: int) -> bool:
        """Tell whether the slot may hold routes of which it never heard."""
        return slot in self._unanswered

    def widen(self) -> None:
        """Take larger batches again, now that one came through."""
        if self._limits.members < self._members:
            members = min(2 * self._limits.members, self._members)
            self._limits = replace(self._limits, members=members)

    async def recover(self, error: RedisFault) -> None:
        """Prepare for the next try: smaller batches after a timeout, a new primary if need be."""
        self.rest_until = 0.0
        # A server that only reads would pass for a working one while nothing is due.
        self._beat_at = self._introduced_until = 0.0
        if error.fault.code == "timeout":
            self._limits = replace(self._limits, members=max(1, self._limits.members // 2))
        if error.fault.remedy is Remedy.RESOLVE:
            await self._store.refresh_primary()

    async def _claim(self, slot: int, asked: _Asked) -> Taken:
        asked_again = slot in self._unanswered
        self._unanswered[slot] = asked
        try:
            claim = await self._store.claim(
                asked.channel, asked.token, self._limits, alone=asked.alone
            )
        except RedisFault as error:
            if error.fault.code not in _UNHEARD:
                del self._unanswered[slot]
            raise
        del self._unanswered[slot]
        if asked_again:
            claim = replace(claim, asked_again=True)
        self._clock_ms = claim.now_ms - monotonic() * 1000
        self._note_hold(claim)
        if claim.members or claim.suspects:
            self.rest_until = 0.0
        if abandoned := sum(1 for member in claim.members if member.abandoned):
            self._reporter.abandoned(asked.channel, abandoned)
        return Taken(asked.channel, claim, asked.since)

    def _rest_after(self, waits: Sequence[Claim]) -> None:
        """Rest until the next route is due, at most for the poll interval."""
        pauses = [self._poll_s]
        pauses += [(c.next_due_ms - c.now_ms) / 1000 for c in waits if c.next_due_ms is not None]
        self.rest_until = monotonic() + max(0.0, min(pauses))
        self.listen = any(claim.word == "idle" for claim in waits)

    def _note_hold(self, claim: Claim) -> None:
        if claim.word == "held":
            self._held.down("stream_full", f"the stream has {claim.stream_length} entries")
        elif claim.word != "paused":
            self._held.up()

    async def beat(self) -> None:
        """Tell of our progress, by the server's clock as the last claim showed it.

        Raises `RedisFault`. Nothing is sent if the last time was less than three seconds ago.
        """
        if self._clock_ms is None or monotonic() < self._beat_at:
            return
        now_ms = int(self._clock_ms + monotonic() * 1000)
        # Set before: a late answer must not put off the beat that `recover` wants.
        self._beat_at = monotonic() + _BEAT_EVERY_S
        if monotonic() < self._introduced_until:
            await self._store.progressed(self._worker_id, now_ms)
            return
        self._introduced_until = monotonic() + _INTRODUCED_EVERY_S - _BEAT_EVERY_S / 2
        await self._store.beat(self._worker_id, self._about, now_ms)

    def _token(self, slot: int) -> str:
        # The janitor reads from it how long the lease may last.
        return f"{self._worker_id}:{slot}:{self._limits.ttl_ms}:{token_hex(_NONCE_BYTES)}"
