"""Collapse keys: for each recipient the newest notification supersedes those that still wait.

Before the accept, the newest notification of each recipient is recorded; after it, the earlier one
is cancelled. A producer that dies in between repeats both. A repeat never makes an older
notification the newest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from galaxy_notify.intake.plan import Plan
from galaxy_notify.intake.rules.recipients import Recipient, RecipientBatch, batches, query
from galaxy_notify.model.ids import first_part
from galaxy_notify.model.notification import readable_record
from galaxy_notify.model.route import PUBLISHABLE, STATUS_OF, readable_route
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap, unwrap_or, values_of
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.reservations import (
    MOST_USERS,
    KeptOrder,
    Order,
    collapse_record,
    read_collapse_record,
)
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: How long the newest notification is remembered after its due time.
KEPT_MS: Final = 7 * 86_400_000
#: Earlier notifications to take back: two, because the last one may never have been accepted.
_OLDER: Final = 2
#: More of them than are kept.
_ALL: Final = 64
#: Begins the actor of what a newer notification cancelled; its id follows.
SUPERSEDED_BY: Final = "newer "
_TRIES: Final = 3

#: Part id → superseded route id → id of the notification that supersedes it.
Superseded = dict[str, dict[str, str]]


def record_newest(
    key_space: KeySpace, recipients: Iterable[Recipient], *, record: bool = True
) -> Flow[list[tuple[Recipient, Order]]]:
    """Record the newest notification of each collapse key, or only read it without *record*.

    Returns each recipient with a collapse key and its order of notifications. Raises
    `RedisFault`.
    """
    keyed = [recipient for recipient in recipients if recipient.part.plan.collapses]
    plans = {_key_of(recipient.part.plan): recipient.part.plan for recipient in keyed}

    def call(batch: RecipientBatch) -> ScriptCall:
        plan = plans[batch.alike]
        wait_ms = max(0, (plan.intent.due_at_ms or 0) - plan.created_at_ms)
        keep_ms = wait_ms + key_space.shared.longest_delay_ms + KEPT_MS
        items = ((recipient.user, recipient.part.name) for recipient in batch.recipients)
        # All of them matter where one inherits: several may be accepted at this moment.
        older = _ALL if record and key_space.shared.delays else _OLDER
        return collapse_record(
            batch.keys, batch.alike, KeptOrder(keep_ms, older), items, note=record
        )

    grouped = batches(key_space, keyed, lambda recipient: _key_of(recipient.part.plan), MOST_USERS)
    return (yield from query(grouped, call, read_collapse_record))


def _key_of(plan: Plan) -> str:
    text = f"{plan.intent.producer}\0{plan.intent.collapse_key}"
    return sha256(text.encode()).digest()[:16].hex()


def supersede(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    """Cancel the routes that are superseded by the newest notification and still wait.

    A notification that became older during its accept cancels itself if a newer one was accepted;
    if the newer one arrives later, that one cancels it. Raises `RedisFault`; a repeat continues.
    """
    orders = yield from record_newest(key_space, recipients, record=False)
    accepted = yield from _accepted_parts(
        key_space, {part for _, order in orders for part in order.newer}
    )
    remaining: Superseded = {}
    for recipient, order in orders:
        pairs = [(part, recipient.part.plan.notification_id) for part in order.older]
        pairs += [(recipient.part.name, first_part(by)) for by in order.newer if by in accepted][:1]
        routes = [f"{channel}:{recipient.user}" for channel in key_space.shared.channels]
        for part, by in pairs:
            remaining.setdefault(part, {}).update(dict.fromkeys(routes, by))
    for _ in range(_TRIES):
        if remaining:
            remaining = yield from _take_back(key_space, remaining)


def _accepted_parts(key_space: KeySpace, parts: Collection[str]) -> Flow[set[str]]:
    """Return the parts that were accepted; a recorded one may still be missing."""
    if not parts:
        return set()
    keys = (key_space.keys_for(part).notification(part) for part in parts)
    replies = yield [Command(["HEXISTS", key, "open"]) for key in keys]
    return {part for part, reply in zip(parts, replies, strict=True) if unwrap_or(reply, 0)}


def _take_back(key_space: KeySpace, remaining: Superseded) -> Flow[Superseded]:
    """Cancel the waiting routes; return those that changed in between."""
    replies = yield [
        Command(["HMGET", key_space.keys_for(part).notification(part), "record", *routes])
        for part, routes in remaining.items()
    ]
    calls_by_part: dict[str, ScriptCall] = {}
    for (part, routes), reply in zip(remaining.items(), replies, strict=True):
        if call := _cancel(key_space, part, routes, values_of(reply, 1 + len(routes))):
            calls_by_part[part] = call
    if not calls_by_part:
        return {}
    answers = yield list(calls_by_part.values())
    pairs = zip(calls_by_part, answers, strict=True)
    return {part: remaining[part] for part, reply in pairs if _is_unfinished(reply)}


def _is_unfinished(reply: Any) -> bool:
    with as_fault("cancel"):
        return bool({Word.CHANGED, Word.FAULT}.intersection(calls.words(unwrap(reply))[1:]))


def _cancel(
    key_space: KeySpace, part: str, routes: Mapping[str, str], values: Sequence[bytes | None]
) -> ScriptCall | None:
    record, *states = values
    changes = []
    for (route_id, by), state in zip(routes.items(), states, strict=True):
        # Most are cancelled already, and need not be decoded.
        waits = state and STATUS_OF.get(state[1:2]) in PUBLISHABLE
        route = readable_route(state) if state and waits else None
        if state and route and route.status in PUBLISHABLE:
            changes.append(RouteChange(route_id, state, route.cancelled(f"{SUPERSEDED_BY}{by}")))
    if not changes:
        return None
    notification = readable_record(part, record)
    keyed, kind = (
        (bool(notification.idempotency_key), notification.type) if notification else (True, "")
    )
    keep_ms = key_space.shared.keep_ms(keyed=keyed, kind=kind)
    return calls.route_cancel(key_space.keys_for(part), part, changes, keep_ms=keep_ms, mark=False)
