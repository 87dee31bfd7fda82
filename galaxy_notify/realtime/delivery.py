"""A batch of events of the gateway stream, handed to their users.

An event may be delivered twice, by two members of the group too. It is acknowledged after its
telling was tried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from galaxy_notify.errors import Corrupt
from galaxy_notify.gateway.event import Event
from galaxy_notify.live.placing import Incoming, Placing, incoming
from galaxy_notify.model.ids import parse_target
from galaxy_notify.model.live_event import live_event
from galaxy_notify.redis_client.faults import RedisFault


@dataclass(frozen=True)
class Delivery:
    """Delivers batches of events to the users of a deployment."""

    placing: Placing
    channels: frozenset[str]

    async def __call__(self, events: Sequence[Event]) -> Mapping[str, object]:
        """Deliver events; return those that failed: id and reason.

        Events of other channels are passed over. Where Redis has not taken an event for a reason
        that is not the event's, the reason is a `RedisFault`; it is raised where Redis has taken
        none. Every event may be delivered again.
        """
        read = [(event.event_id, self._read(event)) for event in events]
        shown = [(event_id, found) for event_id, found in read if isinstance(found, Incoming)]
        placed = await self.placing.place([found for _, found in shown])
        failed: dict[str, object] = {}
        for (event_id, _), one in zip(shown, placed, strict=True):
            if one.fault is not None:
                failed[event_id] = RedisFault(one.fault) if one.is_away else one.fault.reason
        away = [reason for reason in failed.values() if isinstance(reason, RedisFault)]
        if away and len(failed) == len(placed):
            raise away[0]
        corrupt = {event_id: found for event_id, found in read if isinstance(found, Corrupt)}
        return corrupt | failed

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
        return incoming(event.user_id, found, int(event.stream_id.partition("-")[0]))
