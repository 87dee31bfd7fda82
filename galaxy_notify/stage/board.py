"""The routes of the stage as they move: read from Redis, as `show` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.model.ids import Target
from galaxy_notify.model.route import PUBLISHABLE
from galaxy_notify.redis_inspect.notifications import StoredRoute, read_notification
from galaxy_notify.redis_state.deployment import Deployment

#: Of more notifications than these the page shows how many wait.
_MOST_SHOWN: Final = 6
_MOST_TRACKED: Final = 400


@dataclass
class _Tracked:
    """A notification that was sent, and its routes as they were when they were last read."""

    intent: Mapping[str, Any]
    routes: list[dict[str, Any]] = field(default_factory=list)
    is_over: bool = False


class Board:
    """Follows the notifications that the page has sent."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._tracked: dict[str, _Tracked] = {}

    def track(self, notification_id: str, intent: Mapping[str, Any]) -> None:
        """Follow a notification from now on."""
        self._tracked.setdefault(notification_id, _Tracked(intent))
        for name in self._superfluous():
            del self._tracked[name]

    def read(self) -> dict[str, Any]:
        """Return the routes of the newest notifications, and how many more are on their way.

        Raises `RedisFault`.
        """
        waiting = [name for name, one in self._tracked.items() if not one.is_over]
        shown = [*self._tracked][-_MOST_SHOWN:]
        for name in waiting:
            # What is not shown is read too, a few at a time: it may be over by now.
            if name in shown or name in waiting[:_MOST_SHOWN]:
                self._read(name, self._tracked[name])
        kept = [*self._tracked][-_MOST_SHOWN:]
        more = sum(not one.is_over for name, one in self._tracked.items() if name not in kept)
        routes = [route for name in reversed(kept) for route in self._tracked[name].routes]
        return {"routes": routes, "more": more}

    def _superfluous(self) -> list[str]:
        """Return what to forget: what is over first, then the oldest."""
        many = len(self._tracked) - _MOST_SHOWN
        over = [name for name, one in self._tracked.items() if one.is_over][: max(0, many)]
        left = len(self._tracked) - len(over) - _MOST_TRACKED
        return over or [*self._tracked][: max(0, left)]

    def _read(self, name: str, tracked: _Tracked) -> None:
        found = read_notification(self._deployment, Target(name, None))
        if found is None:
            return
        tracked.routes = [_document(stored, tracked.intent) for stored in found.routes]
        tracked.is_over = bool(found.routes) and not any(
            stored.route is None or stored.route.status in PUBLISHABLE for stored in found.routes
        )


def _document(stored: StoredRoute, intent: Mapping[str, Any]) -> dict[str, Any]:
    channel, _, user = stored.route_id.partition(":")
    route = stored.route
    last = route.history[-1] if route and route.history else None
    return {
        "id": stored.member.partition("/")[0],
        "channel": channel,
        "user": user,
        "title": intent["title"],
        "urgent": intent["severity"] == "critical",
        "status": str(route.status) if route else "unreadable",
        "due_at_ms": route.due_at_ms if route else 0,
        "at_ms": route.at_ms if route else 0,
        "sending": stored.lease is not None,
        "attempts": route.attempts if route else 0,
        "reason": (last.failure_class or last.message) if last else "",
    }
