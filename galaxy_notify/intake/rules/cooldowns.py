"""Cooldowns at accept: a minimum time between two notifications of one type to one user.

The first notification holds the reservation. A reservation stands for a delivery: if the routes of
the holder show that it was not delivered to the user, it blocks no other notification.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from galaxy_notify.intake.rules.recipients import Recipient, RecipientBatch, batches, query
from galaxy_notify.model.route import Status, readable_route
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap, values_of
from galaxy_notify.redis_client.scripts import Command, ScriptCall
from galaxy_notify.redis_state.reservations import (
    MOST_USERS,
    Holder,
    Reservation,
    cooldown_reserve,
    read_cooldown_reserve,
)
from galaxy_notify.redis_state.shared_settings import KeySpace

#: The reason of routes that a cooldown suppresses.
COOLDOWN: Final = "cooldown"
#: Statuses of a route that was, or may still be, delivered.
_DELIVERING: Final = frozenset({Status.PENDING, Status.FAILED, Status.PUBLISHED, Status.DELIVERED})
#: A holder without a record this long after its reservation was never accepted.
_ACCEPTED_AFTER_MS: Final = 60_000
_FIELDS_PER_READ: Final = 1000


def apply_cooldown(key_space: KeySpace, recipients: Iterable[Recipient]) -> Flow[None]:
    """Reserve the cooldown of each recipient that gets a delivery, and set its `blocked_by`.

    Raises `RedisFault`.
    """
    shared = key_space.shared
    if not shared.has_cooldowns:
        return
    reserving = [
        recipient
        for recipient in recipients
        if recipient.will_deliver and shared.cooldown_of(recipient.kind)
    ]
    yield from _reserve(key_space, reserving)
    held = [recipient for recipient in reserving if recipient.blocked_by]
    freed = yield from _undelivered(key_space, held)
    yield from _reserve(key_space, freed)


def _reserve(key_space: KeySpace, recipients: Sequence[Recipient]) -> Flow[None]:
    """Reserve; a holder in `blocked_by` is replaced unless the reservation has changed."""

    def call(batch: RecipientBatch) -> ScriptCall:
        items = [_reservation(recipient) for recipient in batch.recipients]
        cooldown_ms = key_space.shared.cooldown_of(batch.alike)
        return cooldown_reserve(batch.keys, batch.alike, cooldown_ms, items)

    grouped = batches(key_space, recipients, lambda recipient: recipient.kind, MOST_USERS)
    for recipient, held in (yield from query(grouped, call, read_cooldown_reserve)):
        recipient.blocked_by = held


def _reservation(recipient: Recipient) -> Reservation:
    made_ms, asked_ms = recipient.part.plan.created_at_ms, recipient.asked_ms
    # 0 is now, by the server's clock; that of a delay is near enough.
    first_due_ms = min(
        delivery.expected_ms(asked_ms, made_ms)
        if delivery.delay_ms
        else delivery.deferred_to_ms or asked_ms or 0
        for delivery in recipient.decision.deliveries
    )
    return Reservation(
        recipient.user, recipient.part.name, recipient.rank, first_due_ms, recipient.blocked_by
    )


def _undelivered(key_space: KeySpace, held: Sequence[Recipient]) -> Flow[list[Recipient]]:
    """Return the recipients whose holders were not, and will not be, delivered."""
    if not held:
        return []
    by_part: dict[str, list[tuple[Recipient, Holder]]] = {}
    for recipient in held:
        for holder in _holders(recipient.blocked_by):
            by_part.setdefault(holder.part, []).append((recipient, holder))
    size = max(1, _FIELDS_PER_READ // len(key_space.shared.channels))
    reads = [
        (part, blocked[start : start + size])
        for part, blocked in by_part.items()
        for start in range(0, len(blocked), size)
    ]
    clock, *replies = yield [Command(["TIME"]), *(_states(key_space, *read) for read in reads)]
    now_ms = int(unwrap(clock)[0]) * 1000
    freed: list[Recipient] = []
    for (_, blocked), reply in zip(reads, replies, strict=True):
        count = 1 + len(blocked) * len(key_space.shared.channels)
        freed += _freed(blocked, values_of(reply, count), now_ms)
    counts = Counter(map(id, freed))
    return [
        recipient
        for recipient in held
        if counts[id(recipient)] == len(_holders(recipient.blocked_by))
    ]


def _holders(held: bytes) -> list[Holder]:
    with as_fault("cooldown_reserve"):
        return Holder.read_all(held)


def _states(key_space: KeySpace, part: str, blocked: Sequence[tuple[Recipient, Holder]]) -> Command:
    channels = key_space.shared.channels
    routes = [f"{channel}:{recipient.user}" for recipient, _ in blocked for channel in channels]
    return Command(["HMGET", key_space.keys_for(part).notification(part), "open", *routes])


def _freed(
    blocked: Sequence[tuple[Recipient, Holder]], values: Sequence[Any], now_ms: int
) -> list[Recipient]:
    known, *states = values
    size = len(states) // len(blocked)
    if known is None:
        # A notification that was never accepted, or is gone entirely, was not delivered.
        return [
            recipient for recipient, at in blocked if now_ms - at.made_at_ms > _ACCEPTED_AFTER_MS
        ]
    return [
        recipient
        for place, (recipient, _) in enumerate(blocked)
        if not any(map(_delivers, states[place * size : (place + 1) * size]))
    ]


def _delivers(state: bytes | None) -> bool:
    if state is None:
        return False
    route = readable_route(state)
    return route is None or route.status in _DELIVERING
