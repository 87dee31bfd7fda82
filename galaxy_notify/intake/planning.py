"""From an intent to the notifications and routes that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from galaxy_notify.encoding import pack_payload
from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import id_for_key, part_id, random_id
from galaxy_notify.model.intent import Intent, canonical_content, check_intent
from galaxy_notify.model.notification import Notification, encode_notification
from galaxy_notify.model.route import accepted
from galaxy_notify.redis_state.calls import NewNotification
from galaxy_notify.redis_state.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Plan:
    """An intent that passed every check, under the id it will have."""

    intent: Intent
    notification_id: str
    routes: list[str]
    digest: bytes
    created_at_ms: int
    traceparent: str
    deployment: Deployment
    repeatable: bool

    @property
    def parts(self) -> int:
        """Return how many parts it has."""
        return -(-len(self.routes) // self.deployment.max_routes)

    def part(self, number: int) -> NewNotification:
        """Return part *number*, counted from 1; raise `InvalidIntent` where it is too large."""
        intent, size = self.intent, self.deployment.max_routes
        part = part_id(self.notification_id, number)
        packed = pack_payload(part, intent, self.created_at_ms)
        # The last part has the longest id: if any is too large, the first one is refused already.
        largest = len(packed) - len(part) + len(part_id(self.notification_id, self.parts))
        if largest > self.deployment.max_payload_bytes:
            raise _too_large(intent, largest, self.deployment.max_payload_bytes)
        routes = self.routes[(number - 1) * size : number * size]
        record = Notification(
            notification_id=part,
            type=intent.type,
            producer=intent.producer,
            idempotency_key=intent.idempotency_key or "",
            request_id=intent.request_id or "",
            trace_id=intent.trace_id or "",
            traceparent=self.traceparent,
            created_at_ms=self.created_at_ms,
            due_at_ms=intent.due_at_ms or self.created_at_ms,
            expires_at_ms=intent.expires_at_ms,
            parts=self.parts,
            routes=len(routes),
            packed=packed,
        )
        return NewNotification(
            part,
            self.digest,
            encode_notification(record),
            accepted(intent.max_attempts),
            intent.due_at_ms,
            self.deployment.keep_ms(keyed=intent.idempotency_key is not None),
            routes,
        )

    def repeated(self) -> Plan:
        """Return the plan for an intent that may have been handed in before under this id."""
        return replace(self, repeatable=True)

    def later_parts(self) -> Iterator[NewNotification]:
        """Return every part after the first."""
        return (self.part(number) for number in range(2, self.parts + 1))


def plan(
    intent: Intent,
    deployment: Deployment,
    now_ms: int,
    traceparent: str,
    notification_id: str | None = None,
) -> Plan:
    """Check an intent against the deployment and name it; raise `InvalidIntent`."""
    check_intent(intent, channels=deployment.channels, now_ms=now_ms)
    key = intent.idempotency_key
    named = id_for_key(intent.producer, key) if key is not None else notification_id
    routes = {
        f"{channel}:{recipient}" for channel in intent.channels for recipient in intent.recipients
    }
    return Plan(
        intent=intent,
        notification_id=named or random_id(now_ms),
        routes=sorted(routes),
        digest=sha256(canonical_content(intent)).digest()[:16],
        created_at_ms=now_ms,
        traceparent=intent.traceparent or traceparent,
        deployment=deployment,
        repeatable=key is not None,
    )


def _too_large(intent: Intent, size: int, limit: int) -> InvalidIntent:
    field = "data" if intent.data else "body" if intent.body else "title"
    return InvalidIntent(field, f"the payload has {size} bytes, the limit is {limit}", "too_large")
