"""Taking notifications back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galaxy_notify.intake.accepting import Flow
from galaxy_notify.intake.changing import Change, look
from galaxy_notify.intake.receipts import Cancelled
from galaxy_notify.model.ids import Target
from galaxy_notify.model.route import Route, Status, bounded
from galaxy_notify.redis_client.scripts import Call
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.deployment import Layout


def cancel_flow(layout: Layout, target: Target, actor: str) -> Flow[Cancelled]:
    """Take a notification back, or one route of it; naming a part takes back that part alone.

    The first part is marked first, so that parts which arrive later are born cancelled. Raises
    `Unavailable`.
    """
    found = yield from look(layout, target)
    if not found.exists:
        return Cancelled(0, 0, unknown=True)
    job = _Cancel(layout, found, bounded(actor))
    yield from job.run()
    return Cancelled(job.done, job.too_late, unknown=not job.met)


@dataclass
class _Cancel(Change):
    verb = "cancel"
    word = "cancelled"

    @property
    def insists(self) -> bool:
        return self.found.is_all or super().insists

    def call(self, part: str, changes: Sequence[RouteChange]) -> Call:
        keys, record = self.layout.keys_for(part), self.found.record
        keyed, kind = bool(record and record.idempotency_key), record.type if record else ""
        keep_ms = self.layout.deployment.keep_ms(keyed=keyed, kind=kind)
        return calls.cancel(keys, part, changes, keep_ms=keep_ms, mark=self.found.is_all)

    def after(self, route: Route) -> bytes:
        return route.cancelled(self.actor)

    def is_done(self, route: Route) -> bool:
        return route.status is Status.CANCELLED
