"""Settlements for tests: the outcomes a worker would choose."""

from __future__ import annotations

from typing import Any

from galaxy_notify.model.ids import event_suffix
from galaxy_notify.model.route import Route, Status, body_of, decode_route
from galaxy_notify.redis_state.settlement import (
    Bury,
    Drop,
    EventKind,
    Expire,
    Publish,
    Release,
    RetryLater,
    RouteOutcome,
    Settlement,
)
from tests.scripts.support.shard import FAILURE, KEEP, WORKER, Shard, split

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
        kind = EventKind(
            keep_ms=KEEP,
            expires_at_ms=expires,
            is_sole=_routes_in(shard, member) == 1,
            type="game.ready",
            request_id="r-1",
            trace_id="",
            traceparent="",
            event_id_suffix=event_suffix(route.generation),
            state_body=body_of(route.published(WORKER)),
        )
        due = route.due_at_ms
        made.add(Publish(member.encode(), route_id, notification_id, due, b"payload", kind))
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
    if word == "publish":
        return publishing(shard, member, settlement=made)
    outcomes: dict[str, RouteOutcome] = {
        "retry": RetryLater(raw, route.failed(WORKER, FAILURE), 5_000),
        "bury": Bury(raw, route.dead_lettered(WORKER, FAILURE, attempt=True)),
        "expire": Expire(raw, route.expired(WORKER), KEEP),
        "release": Release(raw),
        "drop": Drop(raw, "final"),
    }
    made.add(outcomes[word])
    return made


def route_or_new(shard: Shard, member: str) -> Route:
    """Return a route as it is stored, or a new one where it is not."""
    state = shard.state(member)
    return decode_route(state) if state else Route(Status.PENDING, shard.now, shard.now)
