"""A batch of events on its way: into the recent lists, and to the instances of their users.

An event may be delivered twice, by two members of the group too: the list has it once, and a client
gets it once. So nothing is remembered, and an event is acknowledged after its telling was tried: a
telling that is lost costs time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event
from galaxy_notify.model.ids import parse_target
from galaxy_notify.model.live_event import live_event
from galaxy_notify.realtime.parts import PartLimits, cut
from galaxy_notify.realtime.tellings import tell_instances
from galaxy_notify.redis_client.faults import BUSY, Fault, RedisFault, Remedy, fault_in
from galaxy_notify.redis_client.nodes import refresh_primary
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state.inbox import Telling
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import (
    DELIVER_MAX,
    Delivered,
    NewEvent,
    RecentLimits,
    read_delivered,
    user_deliver,
)
from galaxy_notify.redis_state.shared_settings import KeySpace

_EPOCH_BYTES: Final = 6
#: What one call appends: it keeps Redis from everything else.
_CALL_LIMITS: Final = PartLimits(DELIVER_MAX, 1 << 18)
#: Codes of calls that got no answer, or none for now; refusals are known by themselves.
_UNANSWERED: Final = frozenset({"timeout", "connection", BUSY, "LOADING"})


class Incoming(NamedTuple):
    """An event that its user is to see, and when it came into the gateway stream."""

    event_id: str
    event: NewEvent
    at_ms: int


class Placed(NamedTuple):
    """What the recent list answered for an event; *fault* is why there is no answer."""

    incoming: Incoming
    delivered: Delivered | None
    fault: Fault | None = None


@dataclass(frozen=True)
class Delivery:
    """Delivers batches of events to the users of a deployment."""

    client: redis.asyncio.Redis
    key_space: KeySpace
    channels: frozenset[str]
    limits: RecentLimits

    async def __call__(self, events: Sequence[Event]) -> Mapping[str, object]:
        """Deliver events; return those that failed: id and reason.

        Events of other channels are passed over. Where Redis has not taken an event for a reason
        that is not the event's, the reason is a `RedisFault`; it is raised where Redis has taken
        none. Every event may be delivered again.
        """
        read = [(event.event_id, self._read(event)) for event in events]
        placed = await self._place([found for _, found in read if isinstance(found, Incoming)])
        await tell_instances(self.client, self.key_space, _tellings(placed))
        faults = {one.incoming.event_id: one.fault for one in placed if one.fault is not None}
        away = {
            event_id: RedisFault(fault) for event_id, fault in faults.items() if _is_away(fault)
        }
        await self._refresh(away.values())
        if away and len(faults) == len(placed):
            raise next(iter(away.values()))
        corrupt = {event_id: found for event_id, found in read if isinstance(found, Corrupt)}
        own = {event_id: fault.reason for event_id, fault in faults.items()}
        return corrupt | own | away

    def _read(self, event: Event) -> Incoming | Corrupt | None:
        """Return an event as its user's list has it; None if its channel is not shown."""
        target = parse_target(event.event_id)
        channel = (target.route_id or "").partition(":")[0] if target else ""
        if channel not in self.channels:
            return None
        try:
            found = live_event(event.event_id, event.payload)
        except Corrupt as error:
            return error
        new = NewEvent(event.user_id, found.notification_id, found.packed)
        return Incoming(event.event_id, new, int(event.stream_id.partition("-")[0]))

    async def _place(self, incoming: Sequence[Incoming]) -> list[Placed]:
        """Append events to the lists of their users, in one round trip to each node."""
        parts = list(self._parts(incoming))
        try:
            calls = [self._call(keys, some) for keys, some in parts]
            replies = await run_all(self.client, calls) if calls else []
        except RedisFault as error:
            replies = [error] * len(parts)
        return [
            placed
            for (_, some), reply in zip(parts, replies, strict=True)
            for placed in _placed(some, reply)
        ]

    def _call(self, keys: Keys, some: Sequence[Incoming]) -> ScriptCall:
        epoch = token_hex(_EPOCH_BYTES) + "x"
        return user_deliver(keys, self.limits, epoch, [one.event for one in some])

    def _parts(self, incoming: Iterable[Incoming]) -> Iterable[tuple[Keys, Sequence[Incoming]]]:
        by_shard: dict[Keys, list[Incoming]] = {}
        for one in incoming:
            by_shard.setdefault(self.key_space.keys_of_user(one.event.user), []).append(one)
        for keys, found in by_shard.items():
            for part in cut(found, _CALL_LIMITS, lambda one: len(one.event.packed)):
                yield keys, part

    async def _refresh(self, faults: Iterable[RedisFault]) -> None:
        if any(error.fault.remedy is Remedy.RESOLVE for error in faults):
            await refresh_primary(self.client)


def _placed(some: Sequence[Incoming], reply: object) -> Iterable[Placed]:
    if isinstance(reply, RedisFault):
        return [Placed(one, None, reply.fault) for one in some]
    answers = read_delivered(reply, [one.event for one in some])
    return [
        Placed(one, answer, None if answer.cursor else fault_in(answer.reason))
        for one, answer in zip(some, answers, strict=True)
    ]


def _is_away(fault: Fault) -> bool:
    """Return whether it would have met any other event as well, and passes or is repaired."""
    unanswered = fault.code in _UNANSWERED or fault.remedy is Remedy.RESOLVE
    return unanswered or fault.is_refusal or fault.is_permanent


def _tellings(placed: Iterable[Placed]) -> Mapping[str, Sequence[Telling]]:
    """Return what there is to tell each instance, in the order of the events."""
    found: dict[str, list[Telling]] = {}
    for (_, event, at_ms), delivered, _ in placed:
        if delivered is None or delivered.cursor is None:
            continue
        telling = Telling(event.user, delivered.cursor, event.packed, at_ms, delivered.before)
        for instance in delivered.instances:
            found.setdefault(instance, []).append(telling)
    return found
