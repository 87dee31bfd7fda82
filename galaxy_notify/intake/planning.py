"""From an intent to the notifications and routes that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.model.ids import MOST_PARTS, id_for_key, part_id, random_id
from galaxy_notify.model.intent import (
    Intent,
    canonical_content,
    check_intent,
    pack_content,
    routes_of,
)
from galaxy_notify.model.notification import DIGEST_BYTES, encode_record, payload_bytes
from galaxy_notify.model.route import accepted
from galaxy_notify.redis_state.calls import Group, NewNotification
from galaxy_notify.redis_state.deployment import Deployment

# More than a payload can have beside its content: an id, two names of 64 characters, a moment.
_MOST_BESIDE: Final = 512


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
    parts: int = 1
    #: By number of the part: what rules have made of its routes.
    rulings: dict[int, Sequence[Group]] = field(default_factory=dict)

    def part(self, number: int) -> NewNotification:
        """Return part *number*, counted from 1."""
        intent = self.intent
        due_ms, key = intent.due_at_ms, intent.idempotency_key
        groups = self.rulings.get(number)
        if groups is None:
            groups = [Group(accepted(intent.max_attempts), self.candidates(number), due_ms)]
        record = encode_record(
            self.digest,
            self.created_at_ms,
            intent.type,
            intent.producer,
            self.content,
            due_ms,
            intent.expires_at_ms,
            self.parts,
            sum(len(group.routes) for group in groups),
            key or "",
            intent.request_id or "",
            intent.trace_id or "",
            self.traceparent,
        )
        return NewNotification(
            part_id(self.notification_id, number),
            record,
            groups,
            self.deployment.keep_ms(keyed=key is not None, kind=intent.type),
        )

    def candidates(self, number: int) -> Sequence[str]:
        """Return the routes that are asked for in part *number*, before any rule."""
        if self.parts == 1:
            return self.routes
        size = self.deployment.max_routes
        return self.routes[(number - 1) * size : number * size]

    @property
    def collapses(self) -> bool:
        """Tell whether it supersedes what came before it."""
        return self.intent.collapse_key is not None

    @property
    def made(self) -> int:
        """Return how many routes it has become, skipped ones included."""
        ruled = (group for groups in self.rulings.values() for group in groups)
        if not self.rulings:
            return len(self.routes)
        unruled = (n for n in range(1, self.parts + 1) if n not in self.rulings)
        return sum(len(group.routes) for group in ruled) + sum(
            len(self.candidates(number)) for number in unruled
        )

    @property
    def skipped(self) -> int:
        """Return how many of them a rule suppressed."""
        ruled = (group for groups in self.rulings.values() for group in groups)
        return sum(len(group.routes) for group in ruled if group.reason)

    def repeated(self) -> Plan:
        """Return the plan for an intent that may have been handed in before under this id."""
        return replace(self, repeatable=True)


def plan(
    intent: Intent,
    deployment: Deployment,
    now_ms: int,
    traceparent: str,
    notification_id: str | None = None,
) -> Plan:
    """Check an intent against the deployment and name it; raise `InvalidIntent`."""
    past_due_ms = deployment.past_due_ms
    check_intent(intent, channels=deployment.channels, now_ms=now_ms, past_due_ms=past_due_ms)
    key = intent.idempotency_key
    named = id_for_key(intent.producer, key) if key is not None else notification_id
    name, content = named or random_id(now_ms), pack_content(intent)
    routes = routes_of(intent)
    parts = -(-len(routes) // deployment.max_routes)
    # Whatever is too large is refused before it is sorted and digested.
    _check_size(intent, name, content, parts, deployment)
    return Plan(
        intent,
        name,
        routes,
        content,
        sha256(canonical_content(intent, routes, content)).digest()[:DIGEST_BYTES],
        now_ms,
        intent.traceparent or traceparent,
        deployment,
        key is not None,
        parts,
    )


def _check_size(
    intent: Intent, name: str, content: bytes, parts: int, deployment: Deployment
) -> None:
    limit = deployment.max_payload_bytes
    if parts > MOST_PARTS:
        message = f"{parts:,} parts of {deployment.max_routes} routes, the limit is {MOST_PARTS:,}"
        raise InvalidIntent("recipients", message, "too_large")
    if len(content) + _MOST_BESIDE <= limit:
        return
    # The last part has the longest id.
    size = payload_bytes(part_id(name, parts), intent.type, intent.producer, content)
    if size > limit:
        raise _too_large(intent, size, limit)


def _too_large(intent: Intent, size: int, limit: int) -> InvalidIntent:
    field = "data" if intent.data else "body" if intent.body else "title"
    return InvalidIntent(field, f"the payload has {size} bytes, the limit is {limit}", "too_large")
