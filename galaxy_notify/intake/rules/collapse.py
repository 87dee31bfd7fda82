"""The newest of a collapse key supersedes what is still waiting, for each recipient.

Before the accept each recipient's newest notification is noted, after it the one before is taken
back. A producer that dies in between repeats both; a repeat never makes an old one the newest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from galaxy_notify.intake.plan import Plan
from galaxy_notify.intake.rules.recipients import Batch, Recipient, batches, query
from galaxy_notify.model.ids import first_part
from galaxy_notify.model.route import PUBLISHABLE, STATUS_OF
from galaxy_notify.model.stored import readable_record, readable_route
from galaxy_notify.redis_client.flows import Flow, unwrap, unwrap_or
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.reservations import MOST_USERS, Order, collapse_record, collapsed
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: How long the newest is remembered, beyond the time at which it is due.
_KEPT_MS: Final = 7 * 86_400_000
_TRIES: Final = 3

#: Part → its routes that are superseded → by which notification.
Superseded = dict[str, dict[str, str]]


def record_newest(
    key_space: KeySpace, recipients: Iterable[Recipient], *, record: bool = True
) -> Flow[list[tuple[Recipient, Order]]]:
    """Record which notification is the newest by its collapse key, or only look."""
    keyed = [one for one in recipients if one.part.plan.collapses]
    plans = {_key_of(one.part.plan): one.part.plan for one in keyed}

    def call(batch: Batch) -> ScriptCall:
        plan = plans[batch.alike]
        wait_ms = max(0, (plan.intent.due_at_ms or 0) - plan.created_at_ms)
        items = ((one.user, one.part.name) for one in batch.recipients)
        return collapse_record(batch.keys, batch.alike, wait_ms + _KEPT_MS, items, note=record)

    found = batches(key_space, keyed, lambda one: _key_of(one.part.plan), MOST_USERS)
    return (yield from query(found, call, collapsed))


def _key_of(plan: Plan) -> str:
    text = f"{plan.intent.producer}\0{plan.intent.collapse_key}"
    return sha256(text.encode()).digest()[:16].hex()


def supersede(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    """Take back what the newest of a collapse key supersedes, as far as it still waits.

    What became older while it was accepted takes itself back, if a newer one is there: one that
    comes later does that then. Raises `RedisFault`; asked again it goes on.
    """
    found = yield from record_newest(key_space, recipients, record=False)
    there = yield from _there(key_space, {part for _, order in found for part in order.newer})
    left: Superseded = {}
    for one, order in found:
        pairs = [(part, one.part.plan.notification_id) for part in order.older]
        pairs += [(one.part.name, first_part(by)) for by in order.newer if by in there][:1]
        routes = [f"{channel}:{one.user}" for channel in key_space.shared.channels]
        for part, by in pairs:
            left.setdefault(part, {}).update(dict.fromkeys(routes, by))
    for _ in range(_TRIES):
        if left:
            left = yield from _take_back(key_space, left)


def _there(key_space: KeySpace, parts: Collection[str]) -> Flow[set[str]]:
    """Return those that were accepted: a producer may have died, or be on its way."""
    if not parts:
        return set()
    keys = (key_space.keys_for(part).notification(part) for part in parts)
    replies = yield [Command(["HEXISTS", key, "open"]) for key in keys]
    return {part for part, reply in zip(parts, replies, strict=True) if unwrap_or(reply, 0)}


def _take_back(key_space: KeySpace, left: Superseded) -> Flow[Superseded]:
    """Cancel what waits, and return that which changed meanwhile."""
    replies = yield [_read(key_space, part, routes) for part, routes in left.items()]
    calls_made: dict[str, ScriptCall] = {}
    for (part, routes), reply in zip(left.items(), replies, strict=True):
        absent = [None] * (1 + len(routes))
        if call := _cancel(key_space, part, routes, unwrap_or(reply, absent)):
            calls_made[part] = call
    if not calls_made:
        return {}
    answers = yield list(calls_made.values())
    pairs = zip(calls_made, answers, strict=True)
    return {part: left[part] for part, reply in pairs if _is_unfinished(reply)}


def _is_unfinished(reply: Any) -> bool:
    return bool({Word.CHANGED, Word.FAULT}.intersection(calls.words(unwrap(reply))[1:]))


def _read(key_space: KeySpace, part: str, routes: Mapping[str, str]) -> Command:
    return Command(["HMGET", key_space.keys_for(part).notification(part), "record", *routes])


def _cancel(
    key_space: KeySpace, part: str, routes: Mapping[str, str], values: Sequence[bytes | None]
) -> ScriptCall | None:
    record, *states = values
    changes = []
    for (route_id, by), state in zip(routes.items(), states, strict=True):
        # Most are superseded already: none of these need be read.
        waits = state and STATUS_OF.get(state[1:2]) in PUBLISHABLE
        route = readable_route(state) if state and waits else None
        if state and route and route.status in PUBLISHABLE:
            changes.append(RouteChange(route_id, state, route.cancelled(f"newer {by}")))
    if not changes:
        return None
    found = readable_record(part, {b"record": record or b""})
    keyed, kind = (bool(found.idempotency_key), found.type) if found else (True, "")
    keep_ms = key_space.shared.keep_ms(keyed=keyed, kind=kind)
    return calls.route_cancel(key_space.keys_for(part), part, changes, keep_ms=keep_ms, mark=False)
