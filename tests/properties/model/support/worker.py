"""What a worker does with what it claimed: its claims, and the outcomes it settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galaxy_notify.model.ids import event_suffix
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import Route, Status, body_of, decode_route
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import (
    Bury,
    Drop,
    EventKind,
    Expire,
    Publish,
    Release,
    RetryLater,
    Settlement,
)
from tests.properties.model.support.expected import KEEPS
from tests.properties.model.support.things import Outcome
from tests.scripts.support.shard import FAILURE, WORKER


@dataclass
class Hand:
    """What one worker holds, or believes to hold."""

    channel: str
    claim: Claim
    members: list[ClaimedMember]

    @property
    def token(self) -> str:
        """Return the token of the claim."""
        return self.claim.token

    def notification(self, claimed: ClaimedMember) -> Notification:
        """Return the record that came with a member."""
        raw = claimed.member.partition(b"/")[0]
        return decode_notification(raw.decode(), self.claim.records[raw])

    def outcome(self, claimed: ClaimedMember, word: str, delay: int) -> Outcome:
        """Return the outcome that a worker asks for; what has vanished can only be dropped."""
        member = claimed.member.decode()
        if claimed.verdict:
            return Outcome("drop", member)
        made = self.notification(claimed)
        expires = made.expires_at_ms if decode_route(claimed.state).generation == 1 else None
        keep = KEEPS[bool(made.idempotency_key)]
        return Outcome(word, member, delay, expires, keep, attempt=delay > 0)

    def settlement(self, pairs: Sequence[tuple[ClaimedMember, Outcome]]) -> Settlement:
        """Return the settlement of these outcomes."""
        made = Settlement()
        for claimed, outcome in pairs:
            self._add(made, claimed, outcome)
        return made

    def _add(self, made: Settlement, claimed: ClaimedMember, outcome: Outcome) -> None:
        raw = claimed.member
        if outcome.word == "drop":
            made.add(Drop(raw, "record_missing"))
            return
        route = decode_route(claimed.state)
        if outcome.word == "publish":
            self._publish(made, claimed, route, outcome)
        elif outcome.word == "retry":
            made.add(RetryLater(raw, route.failed(WORKER, FAILURE), outcome.delay))
        elif outcome.word == "bury":
            made.add(Bury(raw, route.dead_lettered(WORKER, FAILURE, attempt=outcome.attempt)))
        elif outcome.word == "expire":
            made.add(Expire(raw, route.expired(WORKER), outcome.keep))
        else:
            made.add(Release(raw, outcome.delay))

    def _publish(
        self, made: Settlement, claimed: ClaimedMember, route: Route, outcome: Outcome
    ) -> None:
        found = self.notification(claimed)
        kind = EventKind(
            outcome.keep,
            outcome.expires,
            found.routes == 1,
            found.type,
            found.request_id,
            found.trace_id,
            found.traceparent,
            event_suffix(route.generation),
            body_of(route.published(WORKER)),
        )
        made_id, route_id = found.notification_id, claimed.member.partition(b"/")[2]
        event = Publish(claimed.member, route_id, made_id, route.due_at_ms, found.packed, kind)
        made.add(event)


def correction(claimed: ClaimedMember, now: int) -> Correction | None:
    """Return where a member belongs that stands at a wrong place."""
    if claimed.verdict:
        return None
    route = decode_route(claimed.state)
    channel = claimed.member.partition(b"/")[2].partition(b":")[0].decode()
    if route.status is Status.DEAD_LETTER:
        return Correction(claimed.member, f"dead:{channel}", route.at_ms)
    if route.due_at_ms > now:
        return Correction(claimed.member, f"schedule:{channel}", route.due_at_ms)
    return None
