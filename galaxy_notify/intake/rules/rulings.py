"""Rules at accept, as a flow: which recipients are notified, when, or why not.

The round trips are bounded, whatever the number of recipients: one for the preferences, one for
the cooldowns and two more where others hold them, one for the collapse key and few more where a
channel has a delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from galaxy_notify.intake.plan import Part
from galaxy_notify.intake.route_groups import Beginning, group
from galaxy_notify.intake.rules.collapse import record_newest
from galaxy_notify.intake.rules.cooldowns import COOLDOWN, apply_cooldown
from galaxy_notify.intake.rules.inheritance import due_of, inherit
from galaxy_notify.intake.rules.recipients import (
    Recipient,
    RecipientBatch,
    batches,
    query,
    recipients_of,
)
from galaxy_notify.model.notification import RouteGroup
from galaxy_notify.model.preference import judge
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
    delivering = [recipient for recipient in recipients if recipient.will_deliver]
    yield from inherit(key_space, (yield from record_newest(key_space, delivering)))
    return [
        Ruling(group(part.plan.intent, _beginnings(members)), members)
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


def _beginnings(recipients: Iterable[Recipient]) -> Iterator[tuple[str, Beginning]]:
    for recipient in recipients:
        cooldown = COOLDOWN if recipient.blocked_by else ""
        for delivery in recipient.decision.deliveries:
            route = f"{delivery.channel}:{recipient.user}"
            yield route, Beginning(due_of(recipient, delivery), cooldown)
        for skip in recipient.decision.skips:
            route = f"{skip.channel}:{recipient.user}"
            yield route, Beginning(recipient.asked_ms, str(skip.reason))
