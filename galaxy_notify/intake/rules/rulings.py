"""Rules at accept, as a flow: which recipients are notified, when, and why not.

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
    Batch,
    Recipient,
    batches,
    query,
    recipients_of,
)
from galaxy_notify.model.notification import Group
from galaxy_notify.model.preference import judge
from galaxy_notify.model.route import initial_state, skipped_state
from galaxy_notify.redis_client.flows import Flow
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.preferences import MOST_USERS, preference_query, read_queried
from galaxy_notify.redis_state.shared_settings import KeySpace


class Ruling(NamedTuple):
    """What rules decided about one part: its routes by how they begin, and about whom."""

    groups: Sequence[Group]
    recipients: Sequence[Recipient]


def apply_rules(
    key_space: KeySpace, parts: Sequence[Part], *, preferences_exist: bool
) -> Flow[list[Ruling]]:
    """Return the ruling about each part.

    Decided again, as for a repeat, nothing that is reserved is reserved twice. Raises
    `RedisFault`: nothing is accepted whose rules cannot be looked at.
    """
    found = [list(recipients_of(part)) for part in parts]
    everyone = [one for some in found for one in some]
    if preferences_exist:
        yield from _consult(key_space, everyone)
    for one in everyone:
        intent = one.part.plan.intent
        due_ms = max(intent.due_at_ms or 0, one.part.plan.created_at_ms)
        one.verdict = judge(one.asked, one.stored, due_ms, intent.expires_at_ms)
    yield from apply_cooldown(key_space, everyone)
    yield from record_newest(key_space, [one for one in everyone if one.will_deliver])
    return [Ruling(_groups(part, some), some) for part, some in zip(parts, found, strict=True)]


def _consult(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    def call(batch: Batch) -> ScriptCall:
        return preference_query(batch.keys, batch.alike, [one.user for one in batch.recipients])

    found = batches(key_space, recipients, lambda one: one.kind, MOST_USERS)
    for one, stored in (yield from query(found, call, read_queried)):
        one.stored = stored


def _groups(part: Part, recipients: Iterable[Recipient]) -> list[Group]:
    intent = part.plan.intent
    alike: dict[tuple[int | None, str], list[str]] = {}
    for one in recipients:
        cooled = COOLDOWN if one.blocked_by else ""
        for delivery in one.verdict.deliveries:
            due_ms = delivery.deferred_to_ms or intent.due_at_ms
            alike.setdefault((due_ms, cooled), []).append(f"{delivery.channel}:{one.user}")
        for skip in one.verdict.skips:
            place = (intent.due_at_ms, str(skip.reason))
            alike.setdefault(place, []).append(f"{skip.channel}:{one.user}")
    return [
        Group(
            skipped_state(reason, due_ms) if reason else initial_state(intent.max_attempts, due_ms),
            routes,
            reason,
        )
        for (due_ms, reason), routes in alike.items()
    ]
