"""Where the places of a channel find routes: the channel at each shard of the deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from secrets import token_hex
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.channels.rate import Rate
from galaxy_notify.channels.shard import ChannelShard
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, ClaimLimits
from galaxy_notify.redis_state.words import Word

_NONCE_BYTES: Final = 8
#: Codes of faults after which the claim may have been made.
_UNANSWERED: Final = frozenset({"timeout", "connection", UNREADABLE})


class Held(NamedTuple):
    """A claimed member; its lease began at *since* (monotonic clock) or later."""

    source: RouteSource
    claim: Claim
    claimed: ClaimedMember
    since: float


@dataclass(slots=True)
class _Request:
    """A claim that is sent; if its reply is lost, a repeat with its token returns the same.

    Its lease begins at *since* or later; *sent_at* is when it was sent last.
    """

    token: str
    alone: bool
    since: float
    sent_at: float = 0.0


@dataclass
class RouteSource:
    """The routes of a channel at one shard."""

    channel: str
    worker_id: str
    shard: ChannelShard
    limits: ClaimLimits
    poll_s: float
    #: When to claim next, by the monotonic clock; 0 is now.
    claim_at: float = 0.0
    #: Whether the last claim found a route: then places claim side by side.
    flows: bool = False
    _has_suspects: bool = False
    #: The newest claim that was answered, by when it was sent.
    _answered_at: float = -inf
    #: When a route is due that a claim under way may not have seen.
    _next_due: float = inf
    _unanswered: list[_Request] = field(default_factory=list)

    @property
    def due_at(self) -> float:
        """When a place may claim here: a claim without reply is repeated once Redis is back."""
        return max(0.0 if self._unanswered else self.claim_at, self.shard.retry_at)

    def begin(self) -> None:
        """Keep other places from claiming here too, unless there is more than one route."""
        self.shard.attempt()
        if not self.flows:
            self.claim_at = monotonic() + self.poll_s

    async def claim(self, place: int) -> Held | None:
        """Take one route under a lease, a suspect by itself; None where nothing is due.

        Raises `RedisFault`.
        """
        request = self._unanswered.pop() if self._unanswered else self._request(place)
        request.sent_at, self._next_due = monotonic(), inf
        try:
            claim = await self.shard.store.claim(
                self.channel, request.token, self.limits, alone=request.alone
            )
        except RedisFault as error:
            if error.fault.code in _UNANSWERED:
                self._unanswered.append(request)
            self.claim_at = 0.0  # as soon as the shard may be called
            raise
        self.shard.answered(request.sent_at)
        self._note(claim, request)
        return Held(self, claim, claim.members[0], request.since) if claim.members else None

    def claim_in(self, seconds: float) -> None:
        """Claim after *seconds* at the latest: then a route is due."""
        due_at = monotonic() + seconds
        self._next_due = min(self._next_due, due_at)
        self.claim_at = min(self.claim_at, due_at)

    def _request(self, place: int) -> _Request:
        # The janitor reads the duration of the lease from the token.
        token = f"{self.worker_id}:{place}:{self.limits.ttl_ms}:{token_hex(_NONCE_BYTES)}"
        return _Request(token, self._has_suspects, monotonic())

    def _note(self, claim: Claim, request: _Request) -> None:
        # After a suspect, the others have their turn; their claim says whether there are more.
        self._has_suspects = bool(claim.suspects) and not request.alone
        is_newest = request.sent_at >= self._answered_at
        self._answered_at = max(self._answered_at, request.sent_at)
        if not (claim.members or is_newest):
            return  # a later claim has seen more
        self.flows = bool(claim.members)
        if self.flows or self._has_suspects or request.alone:
            self.claim_at = 0.0
            return
        pause = self.poll_s
        if claim.word == Word.IDLE and claim.next_due_ms is not None:
            pause = min(pause, max(0.0, (claim.next_due_ms - claim.now_ms) / 1000))
        # A wake-up may have come while this claim was under way.
        self.claim_at = min(monotonic() + pause, self._next_due)


class Sources:
    """The sources of a channel. Its places take turns: one waits for work, the others behind it."""

    def __init__(
        self,
        sources: Sequence[RouteSource],
        rate: Rate | None = None,
        on_rest: Callable[[], object] = bool,
    ) -> None:
        """Prepare; *on_rest* is called whenever a place begins to wait.

        The *rate* is kept at the shard of the first source.
        """
        self._sources = list(sources)
        self._first = sources[0].shard
        self._rate = rate
        self._on_rest = on_rest
        self._rate_at = 0.0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._stopping = self._rests = False

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._stopping

    @property
    def rests(self) -> bool:
        """Whether a place waits for work."""
        return self._rests

    def at(self, shard: ChannelShard) -> RouteSource:
        """Return the source at a shard."""
        return next(source for source in self._sources if source.shard is shard)

    async def next(self) -> RouteSource | None:
        """Wait until there may be work, and return where; None once it is stopped."""
        async with self._turn:
            while not self._stopping:
                self._changed.clear()
                now = monotonic()
                due_at = [max(source.due_at, self._rate_due_at) for source in self._sources]
                first = min(due_at)
                if first > now:
                    await self._wait(first - now)
                elif await self._take() and not self._stopping:
                    return self._begin(due_at.index(first))
        return None

    def unused(self) -> None:
        """Hand a send back to the rate: the claim found nothing, or nothing was sent for it."""
        if self._rate is not None:
            self._rate.give_back()
            # Another place may have been turned away meanwhile.
            self._rate_at = 0.0
            self.wake()

    def wake(self) -> None:
        """Look again: the state of a source has changed."""
        self._changed.set()

    def stop(self) -> None:
        """Let all places end."""
        self._stopping = True
        self.wake()

    def _begin(self, place: int) -> RouteSource:
        source = self._sources.pop(place)
        self._sources.append(source)
        source.begin()
        return source

    @property
    def _rate_due_at(self) -> float:
        return 0.0 if self._rate is None else max(self._rate_at, self._first.retry_at)

    async def _take(self) -> bool:
        """Take a send out of the rate; return False if there is none, or Redis does not answer."""
        if self._rate is None:
            return True
        self._first.attempt()
        began = monotonic()
        try:
            pause = await self._rate.take()
        except RedisFault as error:
            await self._first.failed(error)
            return False
        self._first.answered(began)
        self._rate_at = monotonic() + pause
        return not pause

    async def _wait(self, seconds: float) -> None:
        self._rests = True
        self._on_rest()
        waiting = asyncio.create_task(self._changed.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()
        self._rests = False


def claim_one(ttl_ms: int, record_bytes: int, *, at_most_once: bool) -> ClaimLimits:
    """Return the limits of the claim of one route; a full gateway stream does not stop it."""
    limits = ClaimLimits(1, ttl_ms, bytes=record_bytes, record_bytes=record_bytes, hold_at=0)
    return replace(limits, at_most_once=at_most_once)
