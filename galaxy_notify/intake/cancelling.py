"""Taking notifications back, as a plain generator like accepting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from galaxy_notify.errors import Unavailable
from galaxy_notify.intake.accepting import Flow
from galaxy_notify.intake.receipts import Cancelled
from galaxy_notify.model.ids import first_part
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import PUBLISHABLE, Route, Status, bounded
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import RouteChange
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.notifications import readable_record, readable_route
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.redis_state.scripts import Read

_TRIES: Final = 3


def cancel_flow(
    layout: Layout, notification_id: str, route_id: str | None, actor: str
) -> Flow[Cancelled]:
    """Take a notification back, or one route of it; naming a part takes back that part alone.

    The first part is marked first, so that parts which arrive later are born cancelled. Raises
    `Unavailable`.
    """
    fields = yield from _fields(layout, notification_id)
    if b"open" not in fields:
        return Cancelled(0, 0, unknown=True)
    record = readable_record(notification_id, fields)
    whole = first_part(notification_id) == notification_id
    parts = record.parts if record and whole else 1
    job = _Cancelling(
        layout=layout,
        route_id=route_id,
        actor=bounded(actor),
        keep_ms=_keep_ms(layout, record),
        mark=whole and route_id is None,
    )
    yield from job.part(notification_id)
    for later in layout.later_parts(notification_id, parts):
        counts = yield [Read(command) for command in later.counting()]
        if any(map(_sound, counts)):
            for part in later.names:
                yield from job.part(part)
    return Cancelled(job.cancelled, job.too_late, unknown=not job.found)


@dataclass
class _Cancelling:
    """Cancels part by part and counts what became of the routes."""

    layout: Layout
    route_id: str | None
    actor: str
    keep_ms: int
    mark: bool
    cancelled: int = 0
    too_late: int = 0
    found: bool = False

    def part(self, part: str) -> Flow[None]:
        """Cancel what can be cancelled; read again what changed meanwhile, three times at most."""
        counted: set[str] = set()
        for _ in range(_TRIES):
            fields = yield from _fields(self.layout, part)
            changes = list(self._changes(fields, counted))
            # What was taken back before may not be safe yet: a call without changes waits for it.
            if not changes and not self.mark and not self.cancelled:
                return
            keys = self.layout.keys_for(part)
            call = calls.cancel(keys, part, changes, keep_ms=self.keep_ms, mark=self.mark)
            (reply,) = yield [call]
            words = calls.words(_sound(reply))[1:]
            counted |= self._count(changes, words)
            if "fault" in words:
                raise Unavailable("Redis could not write the cancel", part)
            if "changed" not in words:
                return
        raise Unavailable("the notification kept changing: cancel it again", part)

    def _count(self, changes: Sequence[RouteChange], words: Sequence[str]) -> set[str]:
        pairs = zip(changes, words, strict=True)
        done = {change.route_id for change, word in pairs if word == "cancelled"}
        self.cancelled += len(done)
        return done

    def _routes(self, fields: dict[bytes, bytes]) -> Iterator[tuple[str, bytes]]:
        for name, state in fields.items():
            route_id = name.decode("utf-8", "replace")
            # What is no text was not written by us, and cannot be named.
            ours = b":" in name and route_id.encode() == name
            if ours and self.route_id in (None, route_id):
                yield route_id, state

    def _changes(self, fields: dict[bytes, bytes], counted: set[str]) -> Iterator[RouteChange]:
        for route_id, state in self._routes(fields):
            self.found = True
            route = readable_route(state)
            if route is not None and route.status in PUBLISHABLE:
                yield RouteChange(route_id, state, route.cancelled(self.actor))
            elif route_id not in counted:
                self._count_final(route)
                counted.add(route_id)

    def _count_final(self, route: Route | None) -> None:
        if route is not None and route.status is Status.CANCELLED:
            self.cancelled += 1
        else:
            self.too_late += 1


def _keep_ms(layout: Layout, record: Notification | None) -> int:
    keyed = bool(record and record.idempotency_key)
    return layout.deployment.keep_ms(keyed=keyed, kind=record.type if record else "")


def _fields(layout: Layout, notification_id: str) -> Flow[dict[bytes, bytes]]:
    key = layout.keys_for(notification_id).notification(notification_id)
    (reply,) = yield [Read(["HGETALL", key])]
    found = _sound(reply)
    if isinstance(found, dict):
        return found
    return dict(zip(found[::2], found[1::2], strict=True))


def _sound(reply: Any) -> Any:
    if isinstance(reply, RedisFault):
        raise Unavailable(str(reply)) from reply
    return reply
