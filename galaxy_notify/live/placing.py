"""Events and retractions on their way: into the recent lists, and to the instances of their users.

An event may be placed twice, by two processes too: the list has it once, and a client gets it once.
So nothing is remembered. A telling that is lost costs time only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final, NamedTuple

import redis.asyncio

from galaxy_notify.live.parts import PartLimits, cut
from galaxy_notify.live.tellings import tell_instances
from galaxy_notify.model.live_event import LiveEvent, Retraction
from galaxy_notify.redis_client.faults import (
    BUSY,
    Fault,
    Garbled,
    RedisFault,
    Remedy,
    fault_in,
    fault_of,
)
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
    new_retraction,
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
    """An event that its user is to see, and when it came into the gateway stream or the feed.

    *at_ms* is since 1970, by the server's clock.
    """

    event: NewEvent
    at_ms: int


def incoming(user: str, event: LiveEvent | Retraction, at_ms: int) -> Incoming:
    """Return an event or a retraction as the recent list of a user has it."""
    if isinstance(event, Retraction):
        return Incoming(new_retraction(user, event.notification_id), at_ms)
    return Incoming(NewEvent(user, event.notification_id, event.packed), at_ms)


class Placed(NamedTuple):
    """What the recent list answered for an event; *fault* is why there is no answer."""

    incoming: Incoming
    delivered: Delivered | None
    fault: Fault | None = None

    @property
    def is_away(self) -> bool:
        """Whether any other event would have failed as well: that passes, or is repaired."""
        return self.fault is not None and is_away(self.fault)


def is_away(fault: Fault) -> bool:
    """Return whether a fault meets any other call as well, and passes or is repaired."""
    unanswered = fault.code in _UNANSWERED or fault.remedy is Remedy.RESOLVE
    return unanswered or fault.is_refusal or fault.is_permanent


class _Part(NamedTuple):
    """What one call appends: the places of events among all, on one shard."""

    keys: Keys
    places: Sequence[int]


@dataclass(frozen=True)
class Placing:
    """Hands events to the users of a deployment, for which it needs no gateway stream."""

    client: redis.asyncio.Redis
    key_space: KeySpace
    limits: RecentLimits

    async def place(self, events: Sequence[Incoming]) -> Sequence[Placed]:
        """Append events to the lists of their users, and tell the instances; answer in order.

        Never raises a fault of Redis: each event has its own. All may be placed again.
        """
        placed = await self._append(events)
        await tell_instances(self.client, self.key_space, _tellings(placed))
        faults = [one.fault for one in placed if one.fault is not None]
        if any(fault.remedy is Remedy.RESOLVE for fault in faults):
            await refresh_primary(self.client)
        return placed

    async def _append(self, events: Sequence[Incoming]) -> Sequence[Placed]:
        """Append events to the lists of their users, in one round trip to each node."""
        parts = list(self._parts(events))
        calls = [self._call(part.keys, [events[at].event for at in part.places]) for part in parts]
        try:
            replies = await run_all(self.client, calls) if calls else []
        except RedisFault as error:
            replies = [error] * len(parts)
        found: dict[int, Placed] = {}
        for part, reply in zip(parts, replies, strict=True):
            some = [events[at] for at in part.places]
            found |= zip(part.places, _placed(some, reply), strict=True)
        return [found[at] for at in range(len(events))]

    def _call(self, keys: Keys, events: Sequence[NewEvent]) -> ScriptCall:
        return user_deliver(keys, self.limits, token_hex(_EPOCH_BYTES) + "x", events)

    def _parts(self, events: Sequence[Incoming]) -> Iterable[_Part]:
        by_shard: dict[Keys, list[int]] = {}
        for at, one in enumerate(events):
            by_shard.setdefault(self.key_space.keys_of_user(one.event.user), []).append(at)
        for keys, found in by_shard.items():
            for places in cut(found, _CALL_LIMITS, lambda at: len(events[at].event.packed)):
                yield _Part(keys, places)


def _placed(some: Sequence[Incoming], reply: object) -> Iterable[Placed]:
    try:
        if isinstance(reply, RedisFault):
            raise reply
        answers = read_delivered(reply, [one.event for one in some])
    except (RedisFault, Garbled) as error:
        fault = fault_of(error, "user_deliver").fault
        return [Placed(one, None, fault) for one in some]
    return [
        Placed(one, answer, None if answer.cursor else fault_in(answer.reason))
        for one, answer in zip(some, answers, strict=True)
    ]


def _tellings(placed: Iterable[Placed]) -> Mapping[str, Sequence[Telling]]:
    """Return what there is to tell each instance, in the order of the events."""
    found: dict[str, list[Telling]] = {}
    for (event, at_ms), delivered, _ in placed:
        if delivered is None or delivered.cursor is None:
            continue
        telling = Telling(event.user, delivered.cursor, event.packed, at_ms, delivered.before)
        for instance in delivered.instances:
            found.setdefault(instance, []).append(telling)
    return found
