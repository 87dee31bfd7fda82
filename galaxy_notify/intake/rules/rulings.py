"""Rules at accept, as a flow: which recipients are notified, when, or why not.

The round trips are bounded, whatever the number of recipients: one for the preferences, one for
the cooldowns and two more where others hold them, one for the collapse key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from galaxy_notify.intake.plan import Part
from galaxy_notify.intake.rules.collapse import record_newest
from galaxy_notify.intake.rules.cooldowns import COOLDOWN, apply_cooldown
from galaxy_notify.intake.rules.recipients import (
    Recipient,
    RecipientBatch,
    batches,
    query,
    recipients_of,
)
from galaxy_notify.model.notification import RouteGroup
from galaxy_notify.model.preference import judge
from galaxy_notify.model.route import initial_state, skipped_state
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.preferences import MOST_USERS, preference_query, read_queried
from galaxy_notify.redis_state.shared_settings import KeySpace


class Ruling(NamedTuple):
    """What rules decided about one part: its routes by initial state, and its recipients."""

    groups: Sequence[RouteGroup]
    recipients: Sequence[Recipient]


def apply_rules(
    key_space: KeySpace, parts: Sequence[Part], *, preferences_exist: bool
) -> Flow[list[Ruling]]:
    """Return the ruling about each part, in order.

    A repeat reserves nothing twice. Raises `RedisFault`: no notification is accepted whose rules
    cannot be read.
    """
    by_part = [list(recipients_of(part)) for part in parts]
    recipients = [recipient for members in by_part for recipient in members]
    if preferences_exist:
        yield from _query_stored(key_space, recipients)
    for recipient in recipients:
        intent = recipient.part.plan.intent
        due_ms = max(intent.due_at_ms or 0, recipient.part.plan.created_at_ms)
        recipient.decision = judge(
            recipient.request, recipient.stored, due_ms, intent.expires_at_ms
        )
    yield from apply_cooldown(key_space, recipients)
    yield from record_newest(
        key_space, [recipient for recipient in recipients if recipient.will_deliver]
    )
    return [
        Ruling(_groups(part, members), members)
        for part, members in zip(parts, by_part, strict=True)
    ]


def _query_stored(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    def call(batch: RecipientBatch) -> ScriptCall:
        return preference_query(
            batch.keys, batch.alike, [recipient.user for recipient in batch.recipients]
        )

    grouped = batches(key_space, recipients, lambda recipient: recipient.kind, MOST_USERS)
    for recipient, stored in (yield from query(grouped, call, read_queried)):
        recipient.stored = stored


def _groups(part: Part, recipients: Iterable[Recipient]) -> list[RouteGroup]:
    intent = part.plan.intent
    alike: dict[tuple[int | None, str], list[str]] = {}
    for recipient in recipients:
        cooldown = COOLDOWN if recipient.blocked_by else ""
        for delivery in recipient.decision.deliveries:
            due_ms = delivery.deferred_to_ms or intent.due_at_ms
            alike.setdefault((due_ms, cooldown), []).append(f"{delivery.channel}:{recipient.user}")
        for skip in recipient.decision.skips:
            key = (intent.due_at_ms, str(skip.reason))
            alike.setdefault(key, []).append(f"{skip.channel}:{recipient.user}")
    return [
        RouteGroup(
            skipped_state(reason, due_ms) if reason else initial_state(intent.max_attempts, due_ms),
            routes,
            reason,
        )
        for (due_ms, reason), routes in alike.items()
    ]
