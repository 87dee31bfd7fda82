"""How a claimed route ends: decided from what is known, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.hosts import Busy
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.schedule import Schedule
from galaxy_notify.encoding import payload
from galaxy_notify.errors import Corrupt
from galaxy_notify.model import ids
from galaxy_notify.model.live_event import LiveEvent, live_event
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import FORMATS, PUBLISHABLE, Failure, Route, decode_route
from galaxy_notify.publishing.state import Policy, PublisherState
from galaxy_notify.redis_state.claimed import ClaimJudge, Ruling
from galaxy_notify.redis_state.delivery_outcomes import Deliver, DeliveryOutcome, GiveUp, Skip
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import (
    LONGEST_RELEASE_MS,
    Bury,
    Expire,
    Release,
    RetryLater,
)

#: Failures that leave it open whether the other side has it.
_OPEN: Final = frozenset({"timeout", "disconnected", "garbled", "unconfirmed"})


class Ending(NamedTuple):
    """What becomes of a claimed route, with what is known about it for logs and metrics.

    *was_sent* says whether an attempt was made for it, which counts for the channel's rate.
    """

    outcome: DeliveryOutcome | Correction
    notification: Notification | None = None
    route: Route | None = None
    failure: Failure | None = None
    detail: str = ""
    was_sent: bool = False

    @property
    def member(self) -> bytes:
        """The member that it is for."""
        return self.outcome.member


@dataclass(frozen=True, slots=True)
class DueRoute:
    """A claimed route that is to be sent. *now_ms* is the server's time of the claim."""

    member: bytes
    user_id: str
    route: Route
    notification: Notification
    event: LiveEvent
    now_ms: int

    @property
    def expires_at_ms(self) -> int | None:
        """When it expires, in epoch ms; a replayed route does not."""
        return self.notification.expires_at_ms if self.route.generation == 1 else None

    @property
    def late_ms(self) -> int:
        """How long ago its first attempt was due; it counts from a replay on."""
        first = self.route.due_at_ms
        if self.route.attempts:
            starts = [line.at_ms for line in self.route.history if line.attempt == 1]
            first = starts[-1] if starts else first
        return self.now_ms - first


class Result(NamedTuple):
    """What became of one target of a route: an attempt, or no leave to make one."""

    target: Target
    got: Attempt | Busy


class Endings:
    """Decides how the routes of one channel end."""

    def __init__(self, channel: str, publisher: PublisherState) -> None:
        self._publisher = publisher
        self._settings = publisher.settings.channels[channel]
        self._is_once = self._settings.delivery == "at_most_once"

    @property
    def _policy(self) -> Policy:
        return self._publisher.policy  # another one after SIGHUP

    @property
    def _schedule(self) -> Schedule:
        return Schedule.from_settings(self._settings, self._publisher.settings.retry)

    def read(self, claim: Claim, claimed: ClaimedMember) -> DueRoute | Ending:
        """Return the route to send, or how it ends unsent."""
        policy = self._policy
        judge = ClaimJudge(
            claim,
            policy.worker_id,
            policy.max_abandoned,
            policy.shared.max_payload_bytes,
            at_most_once=self._is_once,
        )
        member = ids.split_member(claimed.member)
        regular = member is not None and not claimed.verdict and claimed.state[:1] in FORMATS
        if member is None or not regular or judge.is_abandoned(claimed):
            return _ruled(judge.irregular(claimed))
        try:
            route = decode_route(claimed.state)
            if route.status not in PUBLISHABLE or route.due_at_ms > claim.now_ms:
                return _ruled(judge.misplaced(claimed.member, route))
            record = claim.records.get(member.notification_id.encode(), b"")
            notification = decode_notification(member.notification_id, record)
            name = ids.event_id(claimed.member.decode(), route.generation)
            event = live_event(name, payload(notification))
        except Corrupt as error:
            return _ruled(judge.unreadable(claimed, error))
        except (KeyError, TypeError) as error:
            corrupt = Corrupt(f"payload: {type(error).__name__}: {error}"[:200])
            return _ruled(judge.unreadable(claimed, corrupt))
        due = DueRoute(claimed.member, member.recipient, route, notification, event, claim.now_ms)
        if due.expires_at_ms is not None and due.expires_at_ms <= claim.now_ms:
            return self.expired(due)
        return due

    def expired(self, due: DueRoute) -> Ending:
        """End a route that is too late: it expired before its first send, or while it failed."""
        if due.route.done:
            return self._delivered(due, "it expired before its other addresses had it")
        if self._settings.delay_ms and not due.route.attempts:
            return self.skipped(due, "expires_first")
        state = due.route.expired(self._policy.worker_id)
        outcome = Expire(due.member, state, self._policy.keep_ms(due.notification))
        return Ending(outcome, due.notification, due.route)

    def skipped(self, due: DueRoute, reason: str) -> Ending:
        """End a route that is not sent, for one of the reasons `SKIPPED_AT_SEND`.

        If some address has it, it was delivered: only the others do not get it any more.
        """
        if due.route.done:
            return self._delivered(due, f"its other addresses do not get it: {reason}")
        state = due.route.skipped(self._policy.worker_id, reason)
        outcome = Skip(due.member, state, self._policy.keep_ms(due.notification), reason)
        return Ending(outcome, due.notification, due.route, detail=reason)

    def released(self, due: DueRoute, delay_ms: int, detail: str) -> Ending:
        """Make a route due again after *delay_ms*, without an attempt."""
        outcome = Release(due.member, min(delay_ms, LONGEST_RELEASE_MS))
        return Ending(outcome, due.notification, due.route, detail=detail)

    def is_too_late(self, due: DueRoute) -> bool:
        """Return whether nothing outside is waited for any more."""
        return due.late_ms > self._settings.max_late_ms

    def after(self, due: DueRoute, results: Sequence[Result]) -> Ending:
        """End a route as the attempts at its addresses say."""
        done = [one.target.id for one in results if _outcome(one) == "delivered"]
        refused = len(results) - len(done)
        attempts = [one.got for one in results if isinstance(one.got, Attempt)]
        if self._is_once and any(_is_open(attempt) for attempt in attempts):
            return self._buried(due, Failure("delivery_unknown", _said(attempts)), done)
        if failed := [attempt for attempt in attempts if attempt.outcome == "transient"]:
            return self._retried(due, failed, done)
        if busy := [one.got for one in results if isinstance(one.got, Busy)]:
            return self._waiting(due, busy, done)
        if done or due.route.done:
            return self._delivered(due, _refusals(refused))
        return self._refused(due, attempts)

    def _refused(self, due: DueRoute, attempts: Sequence[Attempt]) -> Ending:
        """End a route that no address takes; those that are gone are disabled by now."""
        refused = [attempt for attempt in attempts if attempt.outcome != "gone"]
        if not refused:
            return self.skipped(due, "endpoint_disabled")
        if all(attempt.reason == "blocked" for attempt in refused):
            return self._buried(due, Failure("address_blocked", _said(attempts)))
        return self._buried(due, Failure("delivery_refused", _said(attempts)))

    def _delivered(self, due: DueRoute, note: str) -> Ending:
        state = due.route.delivered(self._policy.worker_id, note)
        outcome = Deliver(due.member, state, self._policy.keep_ms(due.notification))
        return Ending(outcome, due.notification, due.route, detail=note)

    def _retried(self, due: DueRoute, failed: Sequence[Attempt], done: Sequence[str]) -> Ending:
        attempt = due.route.attempts + 1
        failure = Failure("delivery_failed", _said(failed))
        if attempt >= self._schedule.attempts(due.route):
            return self._buried(due, failure, done)
        asked = max((one.retry_after_ms or 0 for one in failed), default=0)
        delay = self._schedule.delay_ms(attempt, asked)
        if due.expires_at_ms is not None and due.now_ms + delay >= due.expires_at_ms:
            return self._delivered(due, _refusals(len(failed))) if done else self.expired(due)
        state = due.route.failed(self._policy.worker_id, failure, done)
        return Ending(RetryLater(due.member, state, delay), due.notification, due.route, failure)

    def _waiting(self, due: DueRoute, busy: Sequence[Busy], done: Sequence[str]) -> Ending:
        """Wait for hosts that rest or have enough: this is not an attempt."""
        rests = any(one.rests for one in busy)
        if rests and self.is_too_late(due):
            return self._buried(due, Failure("endpoint_down", "its host has not answered"), done)
        delay = min(max(one.ms for one in busy), LONGEST_RELEASE_MS)
        if not done:
            return self.released(due, delay, "")
        state = due.route.delivered_in_part(self._policy.worker_id, done)
        return Ending(RetryLater(due.member, state, delay), due.notification, due.route)

    def _buried(self, due: DueRoute, failure: Failure, done: Iterable[str] = ()) -> Ending:
        worker = self._policy.worker_id
        state = due.route.dead_lettered(worker, failure, attempt=True, done=done)
        outcome = GiveUp(due.member, state, failure.failure_class)
        return Ending(outcome, due.notification, due.route, failure)


def _ruled(ruling: Ruling) -> Ending:
    outcome, route, failure, detail = ruling
    if isinstance(outcome, Bury):
        name = failure.failure_class if failure else "record_corrupt"
        return Ending(GiveUp(outcome.member, outcome.state, name), None, route, failure, detail)
    return Ending(outcome, None, route, failure, detail)


def _refusals(number: int) -> str:
    return f"{number} of its addresses did not take it" if number else ""


def _outcome(result: Result) -> str:
    return result.got.outcome if isinstance(result.got, Attempt) else ""


def _is_open(attempt: Attempt) -> bool:
    """Return whether it may have been delivered although it failed."""
    return attempt.outcome == "transient" and attempt.status is None and attempt.reason in _OPEN


def _said(attempts: Sequence[Attempt]) -> str:
    """Return what the failed attempts were answered, once each."""
    details = [one.detail or one.reason for one in attempts if one.outcome != "delivered"]
    return "; ".join(dict.fromkeys(details))
