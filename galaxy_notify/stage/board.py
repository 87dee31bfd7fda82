"""The routes of the stage as they move: read from Redis, as `show` reads them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from galaxy_notify.model.ids import Target
from galaxy_notify.model.route import PUBLISHABLE
from galaxy_notify.redis_inspect.notifications import StoredRoute, read_notification
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.stage.sending import Sending

#: The newest of a person and the newest of the page itself are shown; of more, how many wait.
_MOST_SHOWN: Final = 4
_MOST_STEADY: Final = 3
_MOST_HIDDEN: Final = 8
_MOST_TRACKED: Final = 400


@dataclass
class _Tracked:
    """A notification that was sent, and its routes as they were when they were last read."""

    sending: Sending
    routes: list[dict[str, Any]] = field(default_factory=list)
    is_over: bool = False


class Board:
    """Follows the notifications that the page has sent."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._tracked: dict[str, _Tracked] = {}
        self._arrived: deque[tuple[str, Sending]] = deque()

    def track(self, notification_id: str, sending: Sending) -> None:
        """Follow a notification from now on; may be called while another thread reads."""
        self._arrived.append((notification_id, sending))

    def read(self) -> dict[str, Any]:
        """Return the routes of the newest notifications, and how many more are on their way.

        Raises `RedisFault`.
        """
        self._take()
        shown = self._shown()
        waiting = [name for name, one in self._tracked.items() if not one.is_over]
        # What is not shown is read too, the oldest first: it may be over by now.
        hidden = [name for name in waiting if name not in shown]
        for name in (*hidden[:_MOST_HIDDEN], *(name for name in shown if name in waiting)):
            self._read(name, self._tracked[name])
        more = sum(not self._tracked[name].is_over for name in hidden)
        routes = [route for name in shown for route in self._tracked[name].routes]
        return {"routes": routes, "more": more}

    def _take(self) -> None:
        """Take what has arrived, and forget what is neither shown nor on its way."""
        while self._arrived:
            name, sending = self._arrived.popleft()
            self._tracked.setdefault(name, _Tracked(sending))
        shown = self._shown()
        over = [name for name, one in self._tracked.items() if one.is_over and name not in shown]
        for name in over:
            del self._tracked[name]
        while len(self._tracked) > _MOST_TRACKED:
            del self._tracked[next(iter(self._tracked))]

    def _shown(self) -> list[str]:
        """Return the names of what is shown, the newest first."""
        names = [*self._tracked][::-1]
        steady = [name for name in names if self._tracked[name].sending.steady][:_MOST_STEADY]
        others = [name for name in names if not self._tracked[name].sending.steady][:_MOST_SHOWN]
        return [name for name in names if name in steady or name in others]

    def _read(self, name: str, tracked: _Tracked) -> None:
        found = read_notification(self._deployment, Target(name, None))
        if found is None:
            return
        tracked.routes = [_document(stored, tracked.sending.intent) for stored in found.routes]
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
