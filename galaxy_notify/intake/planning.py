"""From an intent to the notifications and routes that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import id_for_key, part_id, random_id
from galaxy_notify.model.intent import (
    Intent,
    canonical_content,
    check_intent,
    pack_content,
    routes_of,
)
from galaxy_notify.model.notification import DIGEST_BYTES, encode_record, payload_bytes
from galaxy_notify.model.route import accepted
from galaxy_notify.redis_state.calls import NewNotification
from galaxy_notify.redis_state.deployment import Deployment


@dataclass(slots=True)
class Plan:
    """An intent that passed every check, under the id it will have."""

    intent: Intent
    notification_id: str
    routes: list[str]
    content: bytes
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
        """Return part *number*, counted from 1."""
        intent, size = self.intent, self.deployment.max_routes
        routes = self.routes
        if len(routes) > size:
            routes = routes[(number - 1) * size : number * size]
        record = encode_record(
            self.digest,
            self.created_at_ms,
            intent.type,
            intent.producer,
            self.content,
            intent.due_at_ms,
            intent.expires_at_ms,
            self.parts,
            len(routes),
            intent.idempotency_key or "",
            intent.request_id or "",
            intent.trace_id or "",
            self.traceparent,
        )
        return NewNotification(
            part_id(self.notification_id, number),
            record,
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
    routes, content = routes_of(intent), pack_content(intent)
    planned = Plan(
        intent,
        named or random_id(now_ms),
        routes,
        content,
        sha256(canonical_content(intent, routes, content)).digest()[:DIGEST_BYTES],
        now_ms,
        intent.traceparent or traceparent,
        deployment,
        key is not None,
    )
    # The last part has the longest id.
    longest = part_id(planned.notification_id, planned.parts)
    size = payload_bytes(longest, intent.type, intent.producer, content)
    if size > deployment.max_payload_bytes:
        raise _too_large(intent, size, deployment.max_payload_bytes)
    return planned


def _too_large(intent: Intent, size: int, limit: int) -> InvalidIntent:
    field = "data" if intent.data else "body" if intent.body else "title"
    return InvalidIntent(field, f"the payload has {size} bytes, the limit is {limit}", "too_large")
