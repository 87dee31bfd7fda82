"""What a superseding notification inherits: the due time of the one before it, on delayed channels.

Otherwise a stream of notifications that supersede each other would postpone the delayed delivery
for ever. It is read before the accept, for each channel from the newest notification to the oldest:
the first that has a route there has inherited itself from those before it. One without may not be
accepted yet, or not in all its parts. A route that is due and leased may just be sent, so nothing
is inherited from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from galaxy_notify.intake.rules.collapse import SUPERSEDED_BY
from galaxy_notify.intake.rules.recipients import Recipient
from galaxy_notify.model.decision import Delivery
from galaxy_notify.model.route import PUBLISHABLE, Route, Status, readable_route
from galaxy_notify.redis_client.faults import as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap_or, values_of
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.reservations import Order
from galaxy_notify.redis_state.shared_settings import KeySpace

#: Earlier notifications of a user, or parts of them, that one round trip looks at.
_AT_ONCE: Final = 2


class _Place(NamedTuple):
    """A route of an earlier notification."""

    part: str
    route_id: str


_Found = dict[_Place, bytes | None]


@dataclass(slots=True)
class _Search:
    """The earlier notifications of one recipient, newest first, and where it looks further.

    *held* are the routes that are due already, by channel.
    """

    recipient: Recipient
    earlier: Sequence[str]
    channels: list[str]
    held: dict[str, _Place] = field(default_factory=dict)

    def places(self) -> Iterator[_Place]:
        """Yield what to read next."""
        for part in self.earlier[:_AT_ONCE]:
            yield from (self._place(part, channel) for channel in self.channels)

    def learn(self, found: _Found) -> None:
        """Inherit from the newest route on each channel, and look further where there is none."""
        for part in self.earlier[:_AT_ONCE]:
            for channel in [*self.channels]:
                place = self._place(part, channel)
                if found[place] is not None:
                    self.channels.remove(channel)
                    self._inherit(channel, place, readable_route(found[place]))
        self.earlier = self.earlier[_AT_ONCE:]

    def _inherit(self, channel: str, place: _Place, route: Route | None) -> None:
        if route is None:
            return
        is_ahead = route.due_at_ms > self.recipient.part.plan.created_at_ms
        if route.status in PUBLISHABLE or (is_ahead and _is_superseded(route)):
            self.recipient.inherited[channel] = route.due_at_ms
            if not is_ahead:
                self.held[channel] = place

    def _place(self, part: str, channel: str) -> _Place:
        return _Place(part, f"{channel}:{self.recipient.user}")


def inherit(key_space: KeySpace, orders: Iterable[tuple[Recipient, Order]]) -> Flow[None]:
    """Set the `inherited` due times of recipients of a collapse key; raise `RedisFault`."""
    searches = [_Search(recipient, order.older, recipient.delayed) for recipient, order in orders]
    left = searches
    while left := [search for search in left if search.earlier and search.channels]:
        found = yield from _read(key_space, left)
        for search in left:
            search.learn(found)
    yield from _drop_leased(key_space, [search for search in searches if search.held])


def due_of(recipient: Recipient, delivery: Delivery) -> int | None:
    """Return when a delivery is due, as `initial_state` takes it: the earlier of both times."""
    made_ms = recipient.part.plan.created_at_ms
    own = delivery.due_at_ms(recipient.asked_ms, made_ms)
    earlier = recipient.inherited.get(delivery.channel)
    if earlier is None:
        return own
    # The quiet hours of the user hold for this one, even if they did not for that one.
    at_ms = recipient.timing.after_quiet(delivery.channel, max(earlier, made_ms))
    return at_ms if at_ms < delivery.expected_ms(recipient.asked_ms, made_ms) else own


def _is_superseded(route: Route) -> bool:
    """Return whether a newer one took it back, which another producer is only about to accept."""
    actor = route.history[-1].worker if route.history else ""
    return route.status is Status.CANCELLED and actor.startswith(SUPERSEDED_BY)


def _read(key_space: KeySpace, searches: Iterable[_Search]) -> Flow[_Found]:
    by_part: dict[str, dict[str, None]] = {}
    for search in searches:
        for part, route_id in search.places():
            by_part.setdefault(part, {})[route_id] = None
    replies = yield [
        Command(["HMGET", key_space.keys_for(part).notification(part), *routes])
        for part, routes in by_part.items()
    ]
    found: _Found = {}
    for (part, routes), reply in zip(by_part.items(), replies, strict=True):
        for route_id, value in zip(routes, values_of(reply, len(routes)), strict=True):
            found[_Place(part, route_id)] = value
    return found


def _drop_leased(key_space: KeySpace, searches: Sequence[_Search]) -> Flow[None]:
    """Inherit nothing from routes that are due and leased."""
    asked = [(search, *one) for search in searches for one in search.held.items()]
    if not asked:
        return
    replies = yield [
        Command(["ZSCORE", key_space.keys_for(part).schedule(channel), f"{part}/{route_id}"])
        for _, channel, (part, route_id) in asked
    ]
    for (search, channel, _), reply in zip(asked, replies, strict=True):
        if _is_leased(unwrap_or(reply, None)):
            del search.recipient.inherited[channel]


def _is_leased(score: Any) -> bool:
    """Return whether a score is that of a lease: only such a one has a fraction."""
    with as_fault("ZSCORE"):
        return score is not None and not float(score).is_integer()
