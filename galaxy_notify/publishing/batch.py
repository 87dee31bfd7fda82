"""Decides the outcome of each member of one claim, from the claim alone, without I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from galaxy_notify.errors import Corrupt, TransientEncodingError
from galaxy_notify.model import ids
from galaxy_notify.model.notification import Notification, decode_notification, newer_record
from galaxy_notify.model.route import (
    FORMATS,
    PUBLISHABLE,
    Failure,
    Route,
    Status,
    body_of,
    decode_route,
    newer_state,
)
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import (
    Bury,
    Drop,
    EventKind,
    Expire,
    Publish,
    Release,
    RetryLater,
    RouteOutcome,
)
from galaxy_notify.redis_state.words import Word

#: How long a record of a newer format is released before the next claim.
NEWER_FORMAT_DELAY_MS: Final = 60_000
NEWER_FORMAT: Final = "newer format"
# The first field of a route that neither its status nor its times decide.
_PAST_AT: Final = 3
_NO_KIND: Final = EventKind(0, None, False, "", "", "", "", "", b"")


class Decision(NamedTuple):
    """The outcome of one member, with what is known about it for logs and metrics."""

    outcome: RouteOutcome
    notification: Notification | None = None
    route: Route | None = None
    failure: Failure | None = None
    detail: str = ""

    @property
    def member(self) -> bytes:
        """The member that the outcome is for."""
        return self.outcome.member


class BatchDecisions:
    """The decisions about one claim, member by member; it reads and writes nothing."""

    def __init__(self, policy: Policy, channel: str, claim: Claim) -> None:
        self.corrections: list[Correction] = []
        self._published: list[Decision] = []
        self._others: list[Decision] = []
        self._policy = policy
        self._claim = claim
        self._prefix = f"{channel}:".encode()
        self._notifications: dict[bytes, Notification] = {}
        # The kind of the previous event: most events of a claim share it.
        self._kind = _NO_KIND
        self._notification_before: Notification | None = None
        self._route_before: Route | None = None
        self._kind_source: tuple[object, ...] = ()
        self._past: tuple[object, ...] = ()
        self._published_body = b""

    @property
    def decisions(self) -> list[Decision]:
        """All decisions, in the order in which settle answers."""
        return self._published + self._others

    @property
    def is_empty(self) -> bool:
        """Whether there is no decision to settle yet."""
        return not (self._published or self._others)

    def add(self, claimed: ClaimedMember) -> None:
        """Decide about one member; a bad one never stops the others."""
        raw, state, verdict, abandoned = claimed
        notification_id, _, route_id = raw.partition(b"/")
        regular = not verdict and state[:1] in FORMATS and route_id.startswith(self._prefix)
        if not regular or abandoned >= self._policy.max_abandoned:
            self._irregular(claimed)
            return
        try:
            route = decode_route(state)
            if route.status not in PUBLISHABLE or route.due_at_ms > self._claim.now_ms:
                self._misplaced(raw, route)
                return
            notification = self._notification(notification_id)
        except Corrupt as error:
            self._unreadable(claimed, error)
            return
        expires = _expires(notification, route)
        if expires is not None and expires <= self._claim.now_ms:
            self.expire(raw, notification, route)
        else:
            self._publish(raw, notification, route, route_id)

    def release(self, member: bytes, delay_ms: int = 0, detail: str = "") -> None:
        """Make a member due again after *delay_ms*, without an attempt."""
        self._others.append(Decision(Release(member, delay_ms), detail=detail))

    def retry_or_dead_letter(
        self, member: bytes, notification: Notification, route: Route, failure: Failure
    ) -> None:
        """Spend an attempt: retry, dead-letter, or expire a route whose retry would be too late."""
        attempt = route.attempts + 1
        if attempt >= (route.max_attempts or self._policy.shared.max_attempts):
            self._dead_letter(member, notification, route, failure, attempt=True)
            return
        delay = self._policy.delay_ms(attempt)
        expires = _expires(notification, route)
        if expires is not None and self._claim.now_ms + delay >= expires:
            self.expire(member, notification, route)
            return
        retry = RetryLater(member, route.failed(self._policy.worker_id, failure), delay)
        self._others.append(Decision(retry, notification, route, failure))

    def expire(self, member: bytes, notification: Notification, route: Route) -> None:
        """Expire a route that cannot be published in time."""
        state = route.expired(self._policy.worker_id)
        expire = Expire(member, state, self._policy.keep_ms(notification))
        self._others.append(Decision(expire, notification, route))

    def _publish(
        self, raw: bytes, notification: Notification, route: Route, route_id: bytes
    ) -> None:
        try:
            payload = self._policy.encoder.encode(notification, route)
        except TransientEncodingError as error:
            failure = Failure("payload_encoding_failed", _text_of(error) or type(error).__name__)
            self.retry_or_dead_letter(raw, notification, route, failure)
            return
        except Corrupt as error:
            failure = Failure("record_corrupt", str(error))
            self._dead_letter(raw, notification, route, failure)
            return
        except Exception as error:  # an encoder is third-party code: only this route fails
            text = f"{type(error).__name__}: {_text_of(error)}"
            self._dead_letter(raw, notification, route, Failure("payload_encoding_failed", text))
            return
        limit = self._policy.shared.max_payload_bytes
        if len(payload) > limit:
            text = f"the payload has {len(payload)} bytes, the limit is {limit}"
            self._dead_letter(raw, notification, route, Failure("payload_too_large", text))
            return
        kind, made = self._event_kind(notification, route), notification.notification_id
        event = Publish(raw, route_id, made, route.due_at_ms, payload, kind)
        self._published.append(Decision(event, notification, route))

    def _event_kind(self, notification: Notification, route: Route) -> EventKind:
        if notification is self._notification_before and route is self._route_before:
            return self._kind
        self._notification_before, self._route_before = notification, route
        past = route[_PAST_AT:]
        # All that the kind depends on.
        source = (
            notification.type,
            notification.expires_at_ms,
            notification.routes,
            notification.idempotency_key,
            notification.request_id,
            notification.trace_id,
            notification.traceparent,
            past,
        )
        if source != self._kind_source:
            if past != self._past:
                self._past = past
                self._published_body = body_of(route.published(self._policy.worker_id))
            self._kind_source = source
            self._kind = EventKind(
                self._policy.keep_ms(notification),
                _expires(notification, route),
                notification.routes == 1,
                notification.type,
                notification.request_id,
                notification.trace_id,
                notification.traceparent,
                ids.event_suffix(route.generation),
                self._published_body,
            )
        return self._kind

    def _irregular(self, claimed: ClaimedMember) -> None:
        """Decide about a member that cannot simply be published."""
        member = ids.split_member(claimed.member)
        if member is None:
            self._drop(claimed.member, "malformed")
        elif newer_state(claimed.state) or newer_record(self._record(member)):
            self.release(claimed.member, NEWER_FORMAT_DELAY_MS, NEWER_FORMAT)
        elif claimed.abandoned >= self._policy.max_abandoned:
            text = f"abandoned {claimed.abandoned} times by workers that died or hung"
            self._dead_letter_unread(claimed, Failure("lease_abandoned", text))
        elif claimed.verdict:
            self._unusable(claimed)
        else:
            try:
                self._misplaced(claimed.member, decode_route(claimed.state))
            except Corrupt as error:
                self._unreadable(claimed, error)

    def _misplaced(self, raw: bytes, route: Route) -> None:
        """Decide about a member that is in the wrong index, or not due yet."""
        member = ids.split_member(raw)
        if member is None:
            self._drop(raw, "malformed")
        elif route.status is Status.DEAD_LETTER:
            self.corrections.append(Correction(raw, f"dead:{member.channel}", route.at_ms))
        elif route.status not in PUBLISHABLE:
            self._drop(raw, "final")
        else:
            target = f"schedule:{member.channel}"
            self.corrections.append(Correction(raw, target, route.due_at_ms))

    def _unreadable(self, claimed: ClaimedMember, error: Corrupt) -> None:
        member = ids.split_member(claimed.member)
        if member is not None and newer_record(self._record(member)):
            self.release(claimed.member, NEWER_FORMAT_DELAY_MS, NEWER_FORMAT)
        else:
            self._dead_letter_unread(claimed, Failure("record_corrupt", str(error)))

    def _unusable(self, claimed: ClaimedMember) -> None:
        if claimed.verdict == Word.VANISHED:
            self._drop(claimed.member, "record_missing")
        elif claimed.verdict == Word.WRONG_TYPE:
            self._drop(claimed.member, "record_corrupt")
        elif claimed.verdict == Word.OVERSIZED:
            limit = self._policy.shared.max_payload_bytes
            text = f"the record is larger than a payload of {limit} bytes may make it"
            self._dead_letter_unread(claimed, Failure("payload_too_large", text))
        elif claimed.verdict == Word.MISSING:
            text = "the notification has no record, or the route has no state"
            self._dead_letter_unread(claimed, Failure("record_missing", text))
        else:
            self._dead_letter_unread(claimed, Failure("record_corrupt", "the state is too large"))

    def _dead_letter_unread(self, claimed: ClaimedMember, failure: Failure) -> None:
        """Dead-letter a route by its own state, without decoding its record."""
        try:
            route = decode_route(claimed.state)
        except Corrupt:
            now = self._claim.now_ms
            route = Route(Status.PENDING, due_at_ms=now, at_ms=now)
        self._dead_letter(claimed.member, None, route, failure)

    def _dead_letter(
        self,
        member: bytes,
        notification: Notification | None,
        route: Route,
        failure: Failure,
        *,
        attempt: bool = False,
    ) -> None:
        if ids.split_member(member) is None:
            # As a dead letter it would have no valid name.
            self._drop(member, "malformed")
            return
        dead_letter = Bury(
            member, route.dead_lettered(self._policy.worker_id, failure, attempt=attempt)
        )
        self._others.append(Decision(dead_letter, notification, route, failure))

    def _drop(self, member: bytes, reason: str) -> None:
        self._others.append(Decision(Drop(member, reason), detail=reason))

    def _record(self, member: ids.Member) -> bytes:
        return self._claim.records.get(member.notification_id.encode(), b"")

    def _notification(self, notification_id: bytes) -> Notification:
        known = self._notifications.get(notification_id)
        if known is None:
            raw = self._claim.records.get(notification_id, b"")
            known = decode_notification(notification_id.decode("ascii", "replace"), raw)
            self._notifications[notification_id] = known
        return known


def _text_of(error: Exception) -> str:
    """Return the text of an encoder's error; empty if the error cannot be read."""
    try:
        return str(error)
    except Exception:
        return ""


def _expires(notification: Notification, route: Route) -> int | None:
    """Return the expiry of the route, in epoch ms; a replayed route has none."""
    return notification.expires_at_ms if route.generation == 1 else None
