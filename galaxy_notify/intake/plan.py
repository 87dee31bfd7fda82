"""Plans: intents that passed every check, named and packed, before anything is sent.

A plan is made before its call is sent, and never changes. A repeat finds the notification by the id
of the plan, so a lost reply costs a repeat and never makes a second notification. The decisions of
user rules are not part of it: `rulings` holds them for each part.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.receipts import Receipt, refused
from galaxy_notify.intake.route_groups import requested_groups
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
from galaxy_notify.model.refusals import unknown_channel
from galaxy_notify.model.route import initial_state
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.telemetry.tracing import current_traceparent

#: An intent, as an object or as its fields; in a list also the receipt of one already refused.
IntentLike = Intent | Mapping[str, Any]
IntentOrReceipt = IntentLike | Receipt

# More bytes than names and times take in a payload, beside its content.
_MOST_OVERHEAD: Final = 512
#: The channels of the routes that enter the digest where the intent names none.
_DIGESTED: Final = ("push",)
_CLOCKS_APART_MS: Final = 86_400_000
_MONTH_MS: Final = 31 * 86_400_000


class Plan(NamedTuple):
    """An intent that passed every check, with the id of its notification.

    *routes*: where the intent names no channels, those of one recipient are neighbours.
    *may_repeat*: the caller may have submitted it before, so it may be a duplicate.
    *is_resent*: an earlier attempt to send this same plan may have arrived.
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
    def part_size(self) -> int:
        """How many of its routes, in their order, a part has.

        Without channels it is a number of recipients: a repeat under other default channels has the
        same recipients in each part, and all routes of a recipient are ruled together.
        """
        channels = 1 if self.intent.names_channels else len(self.shared.defaults)
        return self.shared.max_routes * channels

    @property
    def parts(self) -> Iterator[Part]:
        """The parts of the plan, in order."""
        return (Part(self, number) for number in range(1, self.part_count + 1))

    @property
    def collapses(self) -> bool:
        """Whether it has a collapse key, and so supersedes earlier notifications."""
        return self.intent.collapse_key is not None

    @property
    def may_exist(self) -> bool:
        """Whether any earlier call may have stored it."""
        return self.may_repeat or self.is_resent


class Part(NamedTuple):
    """Part *number* of a plan, counted from 1: one script call takes it as a whole."""

    plan: Plan
    number: int

    @property
    def name(self) -> str:
        """The id of the part."""
        return part_id(self.plan.notification_id, self.number)

    @property
    def requested_routes(self) -> Sequence[str]:
        """The requested routes, before any rule."""
        plan = self.plan
        if plan.part_count == 1:
            return plan.routes
        size = plan.part_size
        return plan.routes[(self.number - 1) * size : self.number * size]

    def as_requested(self, *, cancelled: bool = False) -> NewNotification:
        """Return the item to accept without rules; *cancelled* stores it as cancelled."""
        plan = self.plan
        if plan.shared.delays and not cancelled:
            given = (plan.intent, plan.created_at_ms, plan.shared, self.requested_routes)
            return self.with_groups(requested_groups(*given))
        state = initial_state(plan.intent.max_attempts, plan.intent.due_at_ms, cancelled)
        return self.with_groups([RouteGroup(state, self.requested_routes)])

    def with_groups(self, groups: Sequence[RouteGroup]) -> NewNotification:
        """Return the item to accept: all routes, grouped by their initial state."""
        plan = self.plan
        intent = plan.intent
        key = intent.idempotency_key
        routes = 0
        for group in groups:
            routes += len(group.routes)
        record = encode_record(
            plan.digest,
            plan.created_at_ms,
            intent.type,
            intent.producer,
            plan.content,
            intent.due_at_ms,
            intent.expires_at_ms,
            plan.part_count,
            routes,
            key or "",
            intent.request_id or "",
            intent.trace_id or "",
            plan.traceparent,
        )
        keep_ms = plan.shared.keep_ms(keyed=key is not None, kind=intent.type)
        return NewNotification(self.name, record, keep_ms, groups)


class Request(NamedTuple):
    """One validated intent, with the id under which a repeat of the call finds it.

    *given_id* is the id from the caller. *name* is None if the idempotency key decides the id.
    *at_ms* is the time of submission, in epoch ms.
    """

    intent: Intent
    name: str | None
    given_id: str | None
    at_ms: int

    @property
    def repeat_id(self) -> str:
        """The id under which a repeat finds the notification."""
        return self.name or id_for_key(self.intent.producer, self.intent.idempotency_key or "")

    def plan(self, shared: SharedSettings) -> Plan | Receipt:
        """Return the plan, or the receipt of a refused intent."""
        try:
            planned = plan(self.intent, shared, self.at_ms, current_traceparent(), self.name)
        except InvalidIntent as error:
            return refused(error)
        return planned if self.given_id is None else planned._replace(may_repeat=True)


def request_of(intent: IntentLike, given_id: str | None, at_ms: int) -> Request | Receipt:
    """Return a validated intent with its id, or the receipt of a refused one; nothing is sent."""
    if given_id is not None and not is_first_part(given_id):
        message = "must be a notification_id returned by an accept"
        return refused(InvalidIntent("notification_id", message))
    parsed = _intent_or_refusal(intent)
    if isinstance(parsed, Receipt):
        return parsed
    name = None if parsed.idempotency_key else given_id or random_id(at_ms)
    return Request(parsed, name, given_id, at_ms)


def plans_of(
    intents: Iterable[IntentOrReceipt], shared: SharedSettings, at_ms: int
) -> Iterator[Plan | Receipt]:
    """Validate all intents now; plan them one by one, lazily.

    Reading the objects of a program runs its code, which may be slow or raise anything, so it ends
    before the first call is sent. Planning runs only code of this package.
    """
    parsed = [_intent_or_refusal(intent) for intent in intents]
    traceparent = current_traceparent()
    return (_plan_or_refusal(intent, shared, at_ms, traceparent) for intent in parsed)


def is_recent(notification_id: str) -> bool:
    """Return whether an accept without a key may have made this id within the last month."""
    age_ms = time.time_ns() // 1_000_000 - int(notification_id[:12], 16)
    return -_CLOCKS_APART_MS <= age_ms <= _MONTH_MS


def plan(
    intent: Intent,
    shared: SharedSettings,
    at_ms: int,
    traceparent: str,
    notification_id: str | None = None,
) -> Plan:
    """Return the plan of an intent for this deployment; raise `InvalidIntent`."""
    past_due_ms = shared.past_due_ms
    check_intent(intent, channels=shared.channels, now_ms=at_ms, past_due_ms=past_due_ms)
    key = intent.idempotency_key
    key_or_given_id = id_for_key(intent.producer, key) if key is not None else notification_id
    name, content = key_or_given_id or random_id(at_ms), pack_content(intent)
    routes = routes_of(intent)
    requested = routes if intent.names_channels else _by_default(routes, shared)
    part_count = -(-len(routes) // shared.max_routes)
    # An intent that is too large is refused before it is sorted and digested.
    _check_size(intent, name, content, part_count, shared)
    return Plan(
        intent,
        name,
        requested,
        content,
        sha256(canonical_content(intent, routes, content)).digest()[:DIGEST_BYTES],
        at_ms,
        intent.traceparent or traceparent,
        shared,
        key is not None,
        part_count,
    )


def _by_default(routes: Sequence[str], shared: SharedSettings) -> Sequence[str]:
    """Return for each route those of the same recipient on the default channels instead."""
    channels = shared.defaults
    if channels == _DIGESTED:
        return routes
    if not channels:
        message = unknown_channel(shared.default_channels[0], shared.channels)
        raise InvalidIntent("channels[0]", message)
    recipients = (route.partition(":")[2] for route in routes)
    return [f"{channel}:{recipient}" for recipient in recipients for channel in channels]


def _intent_or_refusal(intent: IntentOrReceipt) -> Intent | Receipt:
    if isinstance(intent, Receipt):
        return intent
    try:
        return Intent.parse(intent)
    except InvalidIntent as error:
        return refused(error)


def _plan_or_refusal(
    intent: Intent | Receipt, shared: SharedSettings, at_ms: int, traceparent: str
) -> Plan | Receipt:
    if isinstance(intent, Receipt):
        return intent
    try:
        return plan(intent, shared, at_ms, traceparent)
    except InvalidIntent as error:
        return refused(error)


def _check_size(
    intent: Intent, name: str, content: bytes, part_count: int, shared: SharedSettings
) -> None:
    limit = shared.max_payload_bytes
    if part_count > MOST_PARTS:
        requested = f"{part_count:,} parts of {shared.max_routes} routes"
        raise InvalidIntent("recipients", f"{requested}, the limit is {MOST_PARTS:,}", "too_large")
    if len(content) + _MOST_OVERHEAD <= limit:
        return
    # The last part has the longest id.
    size = payload_bytes(part_id(name, part_count), intent.type, intent.producer, content)
    if size > limit:
        field = "data" if intent.data else "body" if intent.body else "title"
        message = f"the payload has {size} bytes, the limit is {limit}"
        raise InvalidIntent(field, message, "too_large")
