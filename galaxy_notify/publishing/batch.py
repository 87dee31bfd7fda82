"""Decides what becomes of each member of one claim."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from galaxy_notify.errors import Corrupt, TransientEncodingError
from galaxy_notify.model import ids
from galaxy_notify.model.notification import Notification, decode_notification
from galaxy_notify.model.route import (
    FORMAT,
    PUBLISHABLE,
    Failure,
    Route,
    Status,
    decode_route,
    newer_format,
)
from galaxy_notify.publishing.policy import Policy
from galaxy_notify.redis_state.calls import Claim, ClaimedMember, Correction
from galaxy_notify.redis_state.settlement import Settlement

#: How long a record of a newer format rests before somebody looks at it again.
NEWER_FORMAT_DELAY_MS: Final = 60_000
NEWER_FORMAT: Final = "newer format"


@dataclass(slots=True)
class Item:
    """One member of a settlement: what was decided about it and what it was about."""

    member: bytes
    outcome: str
    notification: Notification | None = None
    route: Route | None = None
    failure: Failure | None = None
    detail: str = ""


class Batch:
    """The outcomes of one claim, member by member. It talks to nobody."""

    def __init__(self, policy: Policy, channel: str, claim: Claim) -> None:
        self.settlement = Settlement()
        self.corrections: list[Correction] = []
        self._published: list[Item] = []
        self._others: list[Item] = []
        self._policy = policy
        self._channel = channel
        self._claim = claim
        self._prefix = f"{channel}:".encode()
        self._keep_plain_ms = policy.deployment.keep_ms(keyed=False)
        self._keep_keyed_ms = policy.deployment.keep_ms(keyed=True)
        self._notifications: dict[bytes, Notification] = {}

    @property
    def items(self) -> list[Item]:
        """Return what was decided, in the order in which settle answers."""
        return self._published + self._others

    def add(self, claimed: ClaimedMember) -> None:
        """Decide about one member. Nothing of it stops its neighbours."""
        raw, state, verdict, abandoned = claimed
        notification_id, _, route_id = raw.partition(b"/")
        usual = not verdict and state[:1] == FORMAT and route_id.startswith(self._prefix)
        if not usual or abandoned >= self._policy.max_abandoned:
            self._unusual(claimed)
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
        """Give a member back untouched."""
        self.settlement.release(member, delay_ms)
        self._others.append(Item(member, "release", detail=detail))

    def drop(self, member: bytes, reason: str) -> None:
        """Take a member that can't be used off the schedule."""
        self.settlement.drop(member, reason)
        self._others.append(Item(member, "drop", detail=reason))

    def retry_or_bury(
        self, member: bytes, notification: Notification, route: Route, failure: Failure
    ) -> None:
        """Spend an attempt: another follows, or the route is dead, or it would be too late."""
        attempt = route.attempts + 1
        if attempt >= (route.max_attempts or self._policy.deployment.max_attempts):
            self._bury(member, notification, route, failure, attempt=True)
            return
        delay = self._policy.delay_ms(attempt)
        expires = _expires(notification, route)
        if expires is not None and self._claim.now_ms + delay >= expires:
            self.expire(member, notification, route)
            return
        state = route.failed(self._policy.worker_id, failure)
        self.settlement.retry(member, state, delay)
        self._others.append(Item(member, "retry", notification, route, failure))

    def expire(self, member: bytes, notification: Notification, route: Route) -> None:
        """End a route that can't be published in time any more."""
        state = route.expired(self._policy.worker_id)
        self.settlement.expire(member, state, self._keep_ms(notification))
        self._others.append(Item(member, "expire", notification, route))

    def settle_again(self, item: Item, now_ms: int, refusal: Failure | None) -> None:
        """Decide once more about a route that was not published: it came too late, or was refused.

        A refusal of None means that the stream takes nothing at all: nobody pays for that.
        """
        self._claim = replace(self._claim, now_ms=now_ms)
        if item.notification is None or item.route is None or refusal is None:
            self.release(item.member)
        else:
            self.retry_or_bury(item.member, item.notification, item.route, refusal)

    def _publish(
        self, raw: bytes, notification: Notification, route: Route, route_id: bytes
    ) -> None:
        try:
            payload = self._policy.encoder.encode(notification, route)
        except TransientEncodingError as error:
            failure = Failure("payload_encoding_failed", _told(error) or type(error).__name__)
            self.retry_or_bury(raw, notification, route, failure)
            return
        except Corrupt as error:
            failure = Failure("record_corrupt", str(error))
            self._bury(raw, notification, route, failure, attempt=False)
            return
        except Exception as error:  # an encoder is a stranger's code: only this route pays for it
            failure = Failure("payload_encoding_failed", f"{type(error).__name__}: {_told(error)}")
            self._bury(raw, notification, route, failure, attempt=False)
            return
        limit = self._policy.deployment.max_payload_bytes
        if len(payload) > limit:
            text = f"the payload has {len(payload)} bytes, the limit is {limit}"
            failure = Failure("payload_too_large", text)
            self._bury(raw, notification, route, failure, attempt=False)
            return
        expires = _expires(notification, route)
        kind = (
            self._keep_ms(notification),
            "" if expires is None else expires,
            "1" if notification.routes == 1 else "",
            notification.type,
            notification.request_id,
            notification.trace_id,
            notification.traceparent,
            ids.event_suffix(route.generation),
            route.published(self._policy.worker_id),
        )
        event = (notification.notification_id, route.due_at_ms, payload)
        self.settlement.publish(raw, event, kind, route_id)
        self._published.append(Item(raw, "publish", notification, route))

    def _unusual(self, claimed: ClaimedMember) -> None:
        """Deal with all that is not simply to be published."""
        member = ids.split_member(claimed.member)
        if member is None:
            self.drop(claimed.member, "malformed")
        elif newer_format(claimed.state) or newer_format(self._record(member)):
            self.release(claimed.member, NEWER_FORMAT_DELAY_MS, NEWER_FORMAT)
        elif claimed.abandoned >= self._policy.max_abandoned:
            text = f"left behind {claimed.abandoned} times by workers that died or hung"
            self._bury_unread(claimed, Failure("lease_abandoned", text))
        elif claimed.verdict:
            self._unusable(claimed)
        else:
            try:
                self._misplaced(claimed.member, decode_route(claimed.state))
            except Corrupt as error:
                self._unreadable(claimed, error)

    def _misplaced(self, raw: bytes, route: Route) -> None:
        """Deal with a member that does not belong here, or not yet."""
        member = ids.split_member(raw)
        if member is None:
            self.drop(raw, "malformed")
        elif route.status is Status.DEAD_LETTER:
            self.corrections.append(Correction(raw, f"dead:{member.channel}", route.at_ms))
        elif route.status not in PUBLISHABLE:
            self.drop(raw, "final")
        else:
            target = f"schedule:{member.channel}"
            self.corrections.append(Correction(raw, target, route.due_at_ms))

    def _unreadable(self, claimed: ClaimedMember, error: Corrupt) -> None:
        member = ids.split_member(claimed.member)
        if member is not None and newer_format(self._record(member)):
            self.release(claimed.member, NEWER_FORMAT_DELAY_MS, NEWER_FORMAT)
        else:
            self._bury_unread(claimed, Failure("record_corrupt", str(error)))

    def _unusable(self, claimed: ClaimedMember) -> None:
        if claimed.verdict == "vanished":
            self.drop(claimed.member, "record_missing")
        elif claimed.verdict == "wrong_type":
            self.drop(claimed.member, "record_corrupt")
        elif claimed.verdict == "oversized":
            limit = self._policy.deployment.max_payload_bytes
            text = f"the record is larger than a payload of {limit} bytes may make it"
            self._bury_unread(claimed, Failure("payload_too_large", text))
        elif claimed.verdict == "missing":
            text = "the notification has no record, or the route no state"
            self._bury_unread(claimed, Failure("record_missing", text))
        else:
            self._bury_unread(claimed, Failure("record_corrupt", "the state is far too large"))

    def _bury_unread(self, claimed: ClaimedMember, failure: Failure) -> None:
        """Bury a route of which nothing but its own state may be decoded."""
        try:
            route = decode_route(claimed.state)
        except Corrupt:
            now = self._claim.now_ms
            route = Route(Status.PENDING, due_at_ms=now, at_ms=now)
        self._bury(claimed.member, None, route, failure, attempt=False)

    def _bury(
        self,
        member: bytes,
        notification: Notification | None,
        route: Route,
        failure: Failure,
        *,
        attempt: bool,
    ) -> None:
        if ids.split_member(member) is None:
            # Among the dead letters nobody could name it.
            self.drop(member, "malformed")
            return
        state = route.buried(self._policy.worker_id, failure, attempt=attempt)
        self.settlement.bury(member, state)
        self._others.append(Item(member, "bury", notification, route, failure))

    def _record(self, member: ids.Member) -> bytes:
        return self._claim.records.get(member.notification_id.encode(), b"")

    def _notification(self, notification_id: bytes) -> Notification:
        known = self._notifications.get(notification_id)
        if known is None:
            raw = self._claim.records.get(notification_id, b"")
            known = decode_notification(notification_id.decode("ascii", "replace"), raw)
            self._notifications[notification_id] = known
        return known

    def _keep_ms(self, notification: Notification) -> int:
        if self._policy.deployment.has_cooldowns:
            keyed = bool(notification.idempotency_key)
            return self._policy.deployment.keep_ms(keyed=keyed, kind=notification.type)
        return self._keep_keyed_ms if notification.idempotency_key else self._keep_plain_ms


def _told(error: Exception) -> str:
    """Return what a stranger's error says; asking it may fail as well."""
    try:
        return str(error)
    except Exception:
        return ""


def _expires(notification: Notification, route: Route) -> int | None:
    """Return when the route ends; a replay has dropped that."""
    return notification.expires_at_ms if route.generation == 1 else None
