"""Plans: intents that passed every check, named and packed, before anything is sent.

A plan is made before its call is sent, and never changes: its id is what a repeat finds the
notification by, so a lost answer costs a repeat and makes no second notification. What users'
rules decide is no part of it: `rulings` says that for each part.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.model.ids import MOST_PARTS, id_for_key, is_first_part, part_id, random_id
from galaxy_notify.model.intent import (
    Intent,
    canonical_content,
    check_intent,
    pack_content,
    routes_of,
)
from galaxy_notify.model.notification import (
    DIGEST_BYTES,
    NewNotification,
    RouteGroup,
    encode_record,
    payload_bytes,
)
from galaxy_notify.model.route import initial_state
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.telemetry.tracing import current_traceparent

#: An intent, as an object or as its fields; in a list also the receipt of one already refused.
IntentLike = Intent | Mapping[str, Any]
Item = IntentLike | Receipt

# More than names and moments take in a payload, beside its content.
_MOST_BESIDE: Final = 512
_CLOCKS_APART_MS: Final = 86_400_000
_MONTH_MS: Final = 31 * 86_400_000


class Plan(NamedTuple):
    """An intent that passed every check, under the id it will have.

    *may_repeat* says that somebody may have handed it in before: it may be a duplicate.
    *is_resent* says that an earlier sending of this very plan may have arrived.
    """

    intent: Intent
    notification_id: str
    routes: Sequence[str]
    content: bytes
    digest: bytes
    created_at_ms: int
    traceparent: str
    shared: SharedSettings
    may_repeat: bool
    part_count: int = 1
    is_resent: bool = False

    @property
    def parts(self) -> Iterator[Part]:
        """Return its parts, in order."""
        return (Part(self, number) for number in range(1, self.part_count + 1))

    @property
    def collapses(self) -> bool:
        """Tell whether it supersedes what came before it."""
        return self.intent.collapse_key is not None

    @property
    def may_be_there(self) -> bool:
        """Tell whether it may have been accepted already, by whatever call."""
        return self.may_repeat or self.is_resent


class Part(NamedTuple):
    """Part *number* of a plan, counted from 1: what one script call takes as a whole."""

    plan: Plan
    number: int

    @property
    def name(self) -> str:
        """Return the id that it will have."""
        return part_id(self.plan.notification_id, self.number)

    @property
    def requested_routes(self) -> Sequence[str]:
        """Return the routes that are asked for, before any rule."""
        plan = self.plan
        if plan.part_count == 1:
            return plan.routes
        size = plan.shared.max_routes
        return plan.routes[(self.number - 1) * size : self.number * size]

    def as_requested(self, *, cancelled: bool = False) -> NewNotification:
        """Return what accept takes where no rule decides; *cancelled* lets it be born so."""
        intent = self.plan.intent
        state = initial_state(intent.max_attempts, intent.due_at_ms, cancelled)
        return self.with_groups([RouteGroup(state, self.requested_routes)])

    def with_groups(self, groups: Sequence[RouteGroup]) -> NewNotification:
        """Return what accept takes: all routes, in groups that begin alike."""
        plan = self.plan
        intent = plan.intent
        key = intent.idempotency_key
        record = encode_record(
            plan.digest,
            plan.created_at_ms,
            intent.type,
            intent.producer,
            plan.content,
            intent.due_at_ms,
            intent.expires_at_ms,
            plan.part_count,
            sum([len(group.routes) for group in groups]),
            key or "",
            intent.request_id or "",
            intent.trace_id or "",
            plan.traceparent,
        )
        keep_ms = plan.shared.keep_ms(keyed=key is not None, kind=intent.type)
        return NewNotification(self.name, record, keep_ms, groups)


class Request(NamedTuple):
    """One validated intent, and the id under which a repeat of the call finds it.

    *given_id* is what the caller named it by; *name* is None where its idempotency key names it.
    *at_ms* is when it was handed in.
    """

    intent: Intent
    name: str | None
    given_id: str | None
    at_ms: int

    @property
    def repeat_id(self) -> str:
        """Return the id under which a repeat finds the notification."""
        return self.name or id_for_key(self.intent.producer, self.intent.idempotency_key or "")

    def plan(self, shared: SharedSettings) -> Plan | Receipt:
        """Return the plan, or the receipt that says why there is none."""
        found = _plan_or_refusal(self.intent, shared, self.at_ms, current_traceparent(), self.name)
        if self.given_id is not None and isinstance(found, Plan):
            return found._replace(may_repeat=True)
        return found


def request_of(intent: IntentLike, given_id: str | None, at_ms: int) -> Request | Receipt:
    """Validate an intent and name it, or refuse it; nothing is sent before it has its name."""
    if given_id is not None and not is_first_part(given_id):
        message = "must be an id that an accept gave"
        return refused(InvalidIntent("notification_id", message))
    read = _intent_or_refusal(intent)
    if isinstance(read, Receipt):
        return read
    name = None if read.idempotency_key else given_id or random_id(at_ms)
    return Request(read, name, given_id, at_ms)


def plans_of(
    intents: Iterable[Item], shared: SharedSettings, at_ms: int
) -> Iterator[Plan | Receipt]:
    """Validate all intents now; plan them one by one, each when it is asked for.

    Reading what a program handed in runs its code, which may take long or raise anything: that
    is over before the first call is sent. To plan what was read runs only our own.
    """
    read = [_intent_or_refusal(intent) for intent in intents]
    traceparent = current_traceparent()
    return (
        one if isinstance(one, Receipt) else _plan_or_refusal(one, shared, at_ms, traceparent)
        for one in read
    )


def is_recent(notification_id: str) -> bool:
    """Tell whether an accept without a key may have made this id within the last month."""
    age_ms = time.time_ns() // 1_000_000 - int(notification_id[:12], 16)
    return -_CLOCKS_APART_MS <= age_ms <= _MONTH_MS


def plan(
    intent: Intent,
    shared: SharedSettings,
    at_ms: int,
    traceparent: str,
    notification_id: str | None = None,
) -> Plan:
    """Check an intent against the deployment and name it; raise `InvalidIntent`."""
    past_due_ms = shared.past_due_ms
    check_intent(intent, channels=shared.channels, now_ms=at_ms, past_due_ms=past_due_ms)
    key = intent.idempotency_key
    named = id_for_key(intent.producer, key) if key is not None else notification_id
    name, content = named or random_id(at_ms), pack_content(intent)
    routes = routes_of(intent)
    part_count = -(-len(routes) // shared.max_routes)
    # Whatever is too large is refused before it is sorted and digested.
    _check_size(intent, name, content, part_count, shared)
    return Plan(
        intent,
        name,
        routes,
        content,
        sha256(canonical_content(intent, routes, content)).digest()[:DIGEST_BYTES],
        at_ms,
        intent.traceparent or traceparent,
        shared,
        key is not None,
        part_count,
    )


def _intent_or_refusal(intent: Item) -> Intent | Receipt:
    if isinstance(intent, Receipt):
        return intent
    try:
        return Intent.parse(intent)
    except InvalidIntent as error:
        return refused(error)


def _plan_or_refusal(
    intent: Intent,
    shared: SharedSettings,
    at_ms: int,
    traceparent: str,
    notification_id: str | None = None,
) -> Plan | Receipt:
    try:
        return plan(intent, shared, at_ms, traceparent, notification_id)
    except InvalidIntent as error:
        return refused(error)


def _check_size(
    intent: Intent, name: str, content: bytes, part_count: int, shared: SharedSettings
) -> None:
    limit = shared.max_payload_bytes
    if part_count > MOST_PARTS:
        asked = f"{part_count:,} parts of {shared.max_routes} routes"
        raise InvalidIntent("recipients", f"{asked}, the limit is {MOST_PARTS:,}", "too_large")
    if len(content) + _MOST_BESIDE <= limit:
        return
    # The last part has the longest id.
    size = payload_bytes(part_id(name, part_count), intent.type, intent.producer, content)
    if size > limit:
        raise _too_large(intent, size, limit)


def _too_large(intent: Intent, size: int, limit: int) -> InvalidIntent:
    field = "data" if intent.data else "body" if intent.body else "title"
    return InvalidIntent(field, f"the payload has {size} bytes, the limit is {limit}", "too_large")
