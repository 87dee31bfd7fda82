"""A claimed member that cannot simply be published or sent: what becomes of it instead.

It is decided from the claim alone, without I/O, for every kind of channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from galaxy_notify.errors import Corrupt
from galaxy_notify.model import ids
from galaxy_notify.model.notification import newer_record
from galaxy_notify.model.route import (
    PUBLISHABLE,
    Failure,
    Route,
    Status,
    decode_route,
    newer_state,
)
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import Bury, Drop, Release
from galaxy_notify.redis_state.words import Word

#: How long a record or state of a newer format is released before the next claim.
NEWER_FORMAT_DELAY_MS: Final = 60_000
NEWER_FORMAT: Final = "newer format"


class Ruling(NamedTuple):
    """What becomes of a member that is not worked, with what is known about it."""

    outcome: Bury | Drop | Release | Correction
    route: Route | None = None
    failure: Failure | None = None
    detail: str = ""


@dataclass(frozen=True)
class ClaimJudge:
    """Rules over the members of one claim that are not worked.

    With *at_most_once*, a member that was abandoned before may have been sent: it is not sent again
    unless an operator replays it.
    """

    claim: Claim
    worker_id: str
    max_abandoned: int
    max_payload_bytes: int
    at_most_once: bool = False

    def is_abandoned(self, claimed: ClaimedMember) -> bool:
        """Return whether its leases expired so often that it is given up."""
        return claimed.abandoned >= (1 if self.at_most_once else self.max_abandoned)

    def irregular(self, claimed: ClaimedMember) -> Ruling:
        """Rule over a member with a verdict, an unusual state or too many expired leases."""
        member = ids.split_member(claimed.member)
        if member is None:
            return self.drop(claimed.member, "malformed")
        if newer_state(claimed.state) or newer_record(self._record(member)):
            return _released(claimed.member)
        if self.is_abandoned(claimed):
            return self._bury_unread(claimed, self._abandoned(claimed.abandoned))
        if claimed.verdict:
            return self._unusable(claimed)
        try:
            return self.misplaced(claimed.member, decode_route(claimed.state))
        except Corrupt as error:
            return self.unreadable(claimed, error)

    def misplaced(self, raw: bytes, route: Route) -> Ruling:
        """Rule over a member that is in the wrong index, or not due yet."""
        member = ids.split_member(raw)
        if member is None:
            return self.drop(raw, "malformed")
        if route.status is Status.DEAD_LETTER:
            return Ruling(Correction(raw, f"dead:{member.channel}", route.at_ms))
        if route.status not in PUBLISHABLE:
            return self.drop(raw, "final")
        return Ruling(Correction(raw, f"schedule:{member.channel}", route.due_at_ms))

    def unreadable(self, claimed: ClaimedMember, error: Corrupt) -> Ruling:
        """Rule over a member whose record or state is corrupt."""
        member = ids.split_member(claimed.member)
        if member is not None and newer_record(self._record(member)):
            return _released(claimed.member)
        return self._bury_unread(claimed, Failure("record_corrupt", str(error)))

    def bury(
        self, member: bytes, route: Route, failure: Failure, *, attempt: bool = False
    ) -> Ruling:
        """Dead-letter a route; *attempt* counts this attempt."""
        if ids.split_member(member) is None:
            # As a dead letter it would have no valid name.
            return self.drop(member, "malformed")
        state = route.dead_lettered(self.worker_id, failure, attempt=attempt)
        return Ruling(Bury(member, state), route, failure)

    def drop(self, member: bytes, reason: str) -> Ruling:
        """Move a member to the orphans."""
        return Ruling(Drop(member, reason), detail=reason)

    def _abandoned(self, times: int) -> Failure:
        if self.at_most_once:
            return Failure("delivery_unknown", "it may have been sent: its worker died or hung")
        text = f"abandoned {times} times by workers that died or hung"
        return Failure("lease_abandoned", text)

    def _unusable(self, claimed: ClaimedMember) -> Ruling:
        if claimed.verdict == Word.VANISHED:
            return self.drop(claimed.member, "record_missing")
        if claimed.verdict == Word.WRONG_TYPE:
            return self.drop(claimed.member, "record_corrupt")
        if claimed.verdict == Word.OVERSIZED:
            limit = self.max_payload_bytes
            text = f"the record is larger than a payload of {limit} bytes may make it"
            return self._bury_unread(claimed, Failure("payload_too_large", text))
        if claimed.verdict == Word.MISSING:
            text = "the notification has no record, or the route has no state"
            return self._bury_unread(claimed, Failure("record_missing", text))
        return self._bury_unread(claimed, Failure("record_corrupt", "the state is too large"))

    def _bury_unread(self, claimed: ClaimedMember, failure: Failure) -> Ruling:
        """Dead-letter a route by its own state, without decoding its record."""
        try:
            route = decode_route(claimed.state)
        except Corrupt:
            now = self.claim.now_ms
            route = Route(Status.PENDING, due_at_ms=now, at_ms=now)
        return self.bury(claimed.member, route, failure)

    def _record(self, member: ids.Member) -> bytes:
        return self.claim.records.get(member.notification_id.encode(), b"")


def _released(member: bytes) -> Ruling:
    return Ruling(Release(member, NEWER_FORMAT_DELAY_MS), detail=NEWER_FORMAT)
