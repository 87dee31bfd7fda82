"""Giving notifications another due time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galaxy_notify.errors import InvalidIntent
from galaxy_notify.intake.accepting import Flow
from galaxy_notify.intake.changing import Change, look
from galaxy_notify.intake.receipts import Rescheduled
from galaxy_notify.model.ids import Target
from galaxy_notify.model.intent import check_due
from galaxy_notify.model.route import PUBLISHABLE, RESCHEDULED, Route, bounded
from galaxy_notify.redis_client.scripts import Call
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.deployment import Layout


def reschedule_flow(
    layout: Layout, target: Target, due_ms: int, now_ms: int, actor: str
) -> Flow[Rescheduled]:
    """Have a notification, or one route of it, due at another time; in the past means now.

    Naming a part moves that part alone. Raises `InvalidIntent` and `Unavailable`.
    """
    check_due(due_ms, now_ms=now_ms, past_due_ms=layout.deployment.past_due_ms)
    found = yield from look(layout, target)
    if not found.exists:
        return Rescheduled(0, 0, unknown=True)
    job = _Reschedule(layout, found, bounded(actor), due_ms=due_ms)
    yield from job.run()
    return Rescheduled(job.done, job.too_late, unknown=not job.met)


@dataclass
class _Reschedule(Change):
    verb = "reschedule"
    word = "moved"
    due_ms: int = 0

    def call(self, part: str, changes: Sequence[RouteChange]) -> Call:
        keys = self.layout.keys_for(part)
        due_ms, mark = self.due_ms, self.found.is_all
        return calls.reschedule(keys, part, changes, due_ms=due_ms, mark=mark)

    def after(self, route: Route) -> bytes:
        record = self.found.record
        # A route that was replayed does not expire any more.
        expires_ms = record.expires_at_ms if record and route.generation == 1 else None
        if expires_ms is not None and self.due_ms >= expires_ms:
            raise InvalidIntent("due_at", f"must be earlier than expires_at, which is {expires_ms}")
        return route.rescheduled(self.actor)

    def is_done(self, route: Route) -> bool:
        """Tell whether this is what an earlier sending made, whose answer was lost perhaps."""
        last = route.history[-1].event if route.history else ""
        asked_ms = max(self.due_ms, route.at_ms)
        waits = route.status in PUBLISHABLE
        return waits and last == RESCHEDULED and route.due_at_ms == asked_ms
