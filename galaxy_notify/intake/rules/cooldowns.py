"""Cooldowns at accept: nobody is told of the same type again too soon.

Who is told first holds the reservation. It stands for a delivery, so one whose notification was
not delivered to the user holds nobody back: that is read from its routes when it would.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from galaxy_notify.intake.rules.recipients import Batch, Recipient, batches, query
from galaxy_notify.model.route import Status
from galaxy_notify.model.stored import readable_route
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap, unwrap_or
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.reservations import (
    MOST_USERS,
    Holder,
    Reservation,
    cooldown_reserve,
    reserved,
)
from galaxy_notify.redis_state.shared_settings import KeySpace

#: The reason of what a cooldown suppresses.
COOLDOWN: Final = "cooldown"
#: A route that is, or may still be, delivered.
_DELIVERING: Final = frozenset({Status.PENDING, Status.FAILED, Status.PUBLISHED})
#: Between a reservation and its accept there are seconds at most.
_ACCEPTED_AFTER_MS: Final = 60_000
_FIELDS_PER_READ: Final = 1000


def apply_cooldown(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    """Reserve the cooldown of each recipient to notify, and note which notifications hold it."""
    shared = key_space.shared
    if not shared.has_cooldowns:
        return
    cooled = [one for one in recipients if one.will_deliver and shared.cooldown_of(one.kind)]
    yield from _reserve(key_space, cooled)
    held = [one for one in cooled if one.blocked_by]
    void = yield from _undelivered(key_space, held)
    yield from _reserve(key_space, void)


def _reserve(key_space: KeySpace, recipients: Sequence[Recipient]) -> Flow[None]:
    """Ask for the reservations; what blocks one is taken over, unless it changed by now."""

    def call(batch: Batch) -> ScriptCall:
        items = [_reservation(one) for one in batch.recipients]
        cooldown_ms = key_space.shared.cooldown_of(batch.alike)
        return cooldown_reserve(batch.keys, batch.alike, cooldown_ms, items)

    found = batches(key_space, recipients, lambda one: one.kind, MOST_USERS)
    for one, held in (yield from query(found, call, reserved)):
        one.blocked_by = held


def _reservation(one: Recipient) -> Reservation:
    due_ms = one.part.plan.intent.due_at_ms or 0
    first = min(delivery.deferred_to_ms or due_ms for delivery in one.verdict.deliveries)
    return Reservation(one.user, one.part.name, one.rank, first, one.blocked_by)


def _undelivered(key_space: KeySpace, held: Sequence[Recipient]) -> Flow[list[Recipient]]:
    """Return those whose cooldown is held only by what was not, and will not be, delivered."""
    if not held:
        return []
    by_part: dict[str, list[tuple[Recipient, Holder]]] = {}
    for one in held:
        for holder in _holders(one.blocked_by):
            by_part.setdefault(holder.part, []).append((one, holder))
    size = max(1, _FIELDS_PER_READ // len(key_space.shared.channels))
    questions = [
        (part, some[start : start + size])
        for part, some in by_part.items()
        for start in range(0, len(some), size)
    ]
    clock, *replies = yield [Command(["TIME"]), *(_states(key_space, *each) for each in questions)]
    now_ms = int(unwrap(clock)[0]) * 1000
    void: list[Recipient] = []
    for (_, some), reply in zip(questions, replies, strict=True):
        void += _void(some, unwrap_or(reply, [None]), now_ms)
    found = Counter(map(id, void))
    return [one for one in held if found[id(one)] == len(_holders(one.blocked_by))]


def _holders(held: bytes) -> list[Holder]:
    with as_fault("cooldown_reserve"):
        return Holder.read_all(held)


def _states(key_space: KeySpace, part: str, some: Sequence[tuple[Recipient, Holder]]) -> Command:
    channels = key_space.shared.channels
    routes = [f"{channel}:{one.user}" for one, _ in some for channel in channels]
    return Command(["HMGET", key_space.keys_for(part).notification(part), "open", *routes])


def _void(
    some: Sequence[tuple[Recipient, Holder]], values: Sequence[Any], now_ms: int
) -> list[Recipient]:
    known, *states = values
    size = len(states) // len(some)
    if known is None:
        # What never came about, or was given up with all its traces, was not delivered.
        return [one for one, at in some if now_ms - at.made_at_ms > _ACCEPTED_AFTER_MS]
    return [
        one
        for place, (one, _) in enumerate(some)
        if not any(map(_delivers, states[place * size : (place + 1) * size]))
    ]


def _delivers(state: bytes | None) -> bool:
    if state is None:
        return False
    route = readable_route(state)
    return route is None or route.status in _DELIVERING
