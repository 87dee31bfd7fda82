"""Decides the outcome of each member of one claim, from the claim alone, without I/O."""

from __future__ import annotations

from typing import Final, NamedTuple

from galaxy_notify.errors import Corrupt, TransientEncodingError
from galaxy_notify.model import ids
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import (
    FORMATS,
    PUBLISHABLE,
    Failure,
    Route,
    body_of,
    decode_route,
)
from galaxy_notify.publishing.state import Policy
from galaxy_notify.redis_state.claimed import ClaimJudge, Ruling
from galaxy_notify.redis_state.leases import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import (
    EventKind,
    Expire,
    Publish,
    Release,
    RetryLater,
    RouteOutcome,
)

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
        self._judge = ClaimJudge(
            claim, policy.worker_id, policy.max_abandoned, policy.shared.max_payload_bytes
        )
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
            self._take(self._judge.irregular(claimed))
            return
        try:
            route = decode_route(state)
            if route.status not in PUBLISHABLE or route.due_at_ms > self._claim.now_ms:
                self._take(self._judge.misplaced(raw, route))
                return
            notification = self._notification(notification_id)
        except Corrupt as error:
            self._take(self._judge.unreadable(claimed, error))
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

    def _take(self, ruling: Ruling, notification: Notification | None = None) -> None:
        outcome, route, failure, detail = ruling
        if isinstance(outcome, Correction):
            self.corrections.append(outcome)
        else:
            self._others.append(Decision(outcome, notification, route, failure, detail))

    def _dead_letter(
        self,
        member: bytes,
        notification: Notification,
        route: Route,
        failure: Failure,
        *,
        attempt: bool = False,
    ) -> None:
        self._take(self._judge.bury(member, route, failure, attempt=attempt), notification)

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
