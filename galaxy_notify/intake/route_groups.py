"""The routes of a new notification, grouped by the state in which they begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from galaxy_notify.model.decision import ChannelDecision, Delivery, Timing
from galaxy_notify.model.intent import Intent
from galaxy_notify.model.notification import RouteGroup
from galaxy_notify.model.route import initial_state, skipped_state
from galaxy_notify.redis_state.shared_settings import SharedSettings


class Beginning(NamedTuple):
    """How a route begins: its due time, as `initial_state` takes it, or why it is skipped."""

    due_ms: int | None
    reason: str = ""


def group(intent: Intent, beginnings: Iterable[tuple[str, Beginning]]) -> list[RouteGroup]:
    """Return the groups of routes that begin alike."""
    alike: dict[Beginning, list[str]] = {}
    for route, beginning in beginnings:
        alike.setdefault(beginning, []).append(route)
    return [
        RouteGroup(
            skipped_state(reason, due_ms) if reason else initial_state(intent.max_attempts, due_ms),
            routes,
            reason,
        )
        for (due_ms, reason), routes in alike.items()
    ]


def requested_groups(
    intent: Intent, created_at_ms: int, shared: SharedSettings, routes: Sequence[str]
) -> list[RouteGroup]:
    """Return the groups of routes to which no rule of a user applies, only the delays."""
    due_ms, asked_ms = max(intent.due_at_ms or 0, created_at_ms), intent.due_at_ms
    timing = Timing(due_ms, intent.expires_at_ms, None, (), shared.delays_by_channel)
    channels = [route.partition(":")[0] for route in routes]
    decision = timing.applied(ChannelDecision(tuple(map(Delivery, dict.fromkeys(channels)))))
    begins = {
        delivery.channel: Beginning(delivery.due_at_ms(asked_ms, created_at_ms))
        for delivery in decision.deliveries
    }
    begins |= {skip.channel: Beginning(asked_ms, str(skip.reason)) for skip in decision.skips}
    return group(intent, zip(routes, map(begins.__getitem__, channels), strict=True))
