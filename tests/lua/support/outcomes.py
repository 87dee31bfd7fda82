"""Settlements for tests: the outcomes a worker would choose."""

from __future__ import annotations

from typing import Any

from galaxy_notify.model.ids import event_suffix
from galaxy_notify.model.route import Route, Status, decode_route
from galaxy_notify.redis_client.scripts import Argument
from galaxy_notify.redis_state.settlement import Settlement
from tests.lua.support.shard import FAILURE, KEEP, WORKER, Shard, split

OUTCOMES = ("publish", "retry", "bury", "expire", "release", "drop")


def publishing(
    shard: Shard,
    *members: str,
    expires: int | None = None,
    settlement: Settlement | None = None,
) -> Settlement:
    """Add the publishing of members."""
    made = Settlement() if settlement is None else settlement
    for member in members:
        notification_id, route_id = split(member)
        route = route_or_new(shard, member)
        kind = (
            KEEP,
            "" if expires is None else expires,
            "1" if _routes_in(shard, member) == 1 else "",
            "game.ready",
            "r-1",
            "",
            "",
            event_suffix(route.generation),
            route.published(WORKER),
        )
        event = (notification_id, route.due_at_ms, b"payload")
        made.publish(member.encode(), event, kind, route_id)
    return made


def _routes_in(shard: Shard, member: str) -> int:
    names: Any = shard.client.hkeys(shard.hash_of(member))
    return sum(b":" in name for name in names)


def outcome(
    shard: Shard, word: str, member: str, settlement: Settlement | None = None
) -> Settlement:
    """Add the named outcome of a member."""
    made = Settlement() if settlement is None else settlement
    route, raw = route_or_new(shard, member), member.encode()
    add: dict[str, tuple[Argument, ...]] = {
        "retry": (route.failed(WORKER, FAILURE), 5_000),
        "bury": (route.buried(WORKER, FAILURE, attempt=True),),
        "expire": (route.expired(WORKER), KEEP),
        "release": (),
        "drop": ("final",),
    }
    if word == "publish":
        return publishing(shard, member, settlement=made)
    getattr(made, word)(raw, *add[word])
    return made


def route_or_new(shard: Shard, member: str) -> Route:
    """Return a route as it is stored, or a new one where it is not."""
    state = shard.state(member)
    return decode_route(state) if state else Route(Status.PENDING, shard.now, shard.now)
