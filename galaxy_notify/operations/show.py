"""One notification explained: every route, its history, and why it is where it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import Target, shard_of
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import HISTORY_KEPT, Route, Transition
from galaxy_notify.operations.dead_letter import attempts_made, history_line
from galaxy_notify.operations.why import Surroundings, why
from galaxy_notify.redis_inspect.notifications import (
    StoredNotification,
    StoredRoute,
    read_notification,
)
from galaxy_notify.redis_inspect.reading import read_all, server_now
from galaxy_notify.redis_inspect.servers import read_workers
from galaxy_notify.redis_inspect.stream import read_streams
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.redis_state.group_report import least_lag

_UNKNOWN: Final = {"type": "", "producer": "", "severity": "", "request_id": "", "trace_id": ""}
_NO_TIMES: Final = {"created_at_ms": None, "due_at_ms": None, "expires_at_ms": None}


@dataclass(frozen=True, slots=True)
class Shown:
    """A notification with what surrounds it."""

    found: StoredNotification
    around: Surroundings
    shards: int

    def as_json(self, *, payload: bool = False) -> dict[str, object]:
        """Return what ``show --json`` prints; the data only where it is asked for."""
        found, record = self.found, self.found.record
        document: dict[str, object] = {
            "notification_id": found.notification_id,
            **(_record(record) if record else {**_UNKNOWN, **_NO_TIMES}),
            "open": found.open,
            "ttl_ms": found.ttl_ms,
            "parts": record.parts if record else 1,
            "routes": [self._route(stored) for stored in found.routes],
        }
        if found.moved_to_ms is not None:
            document["due_at_ms"] = found.moved_to_ms
        if payload:
            document["payload"] = _payload(record)
        return document

    def _route(self, stored: StoredRoute) -> dict[str, object]:
        route = stored.route
        failure = route.failure if route else None
        return {
            "route_id": stored.route_id,
            "status": str(route.status) if route else "corrupt",
            "generation": route.generation if route else 0,
            "attempts": attempts_made(route),
            "max_attempts": (route and route.max_attempts) or self.around.max_attempts,
            "due_at_ms": route.due_at_ms if route else None,
            "lease": asdict(stored.lease) if stored.lease else None,
            "failure": failure
            and {
                "class": failure.failure_class,
                "message": failure.message,
                "at_ms": failure.at_ms,
            },
            "stream_id": route.stream_id if route else "",
            "why": why(stored, shard_of(stored.part, self.shards), self.around),
            "history": [history_line(line) for line in self._history(route)],
        }

    def _history(self, route: Route | None) -> list[Transition]:
        """Return the transitions kept, and the accept before them where it is not pushed out."""
        lines = list(route.history) if route else []
        if route is None or len(lines) >= HISTORY_KEPT:
            return lines
        record = self.found.record
        accepted_ms = record.created_at_ms if record else 0
        return [Transition("accepted", accepted_ms if lines else route.at_ms), *lines]


def show(deployment: Deployment, target: Target) -> Shown | None:
    """Read a notification, or one route of it; None where it is unknown. Raises `RedisFault`."""
    found = read_notification(deployment, target)
    if found is None or (target.route_id is not None and not found.routes):
        return None
    if not target.is_of(found.record.producer if found.record else None):
        return None
    return Shown(found, _surroundings(deployment, found), deployment.shared.shards)


def _surroundings(deployment: Deployment, found: StoredNotification) -> Surroundings:
    now_ms = server_now(deployment)
    shards = deployment.shared.shards
    asked = sorted({(shard_of(stored.part, shards), stored.channel) for stored in found.routes})
    paused = read_all(
        deployment,
        (["SISMEMBER", deployment.keys(shard).paused, channel] for shard, channel in asked),
    )
    return Surroundings(
        now_ms,
        {worker.id: worker.state for worker in read_workers(deployment, now_ms)},
        frozenset(spot for spot, yes in zip(asked, paused, strict=True) if yes),
        _holds(deployment),
        deployment.shared.max_attempts,
        found.record.expires_at_ms if found.record else None,
    )


def _holds(deployment: Deployment) -> dict[int, str]:
    held: dict[int, str] = {}
    for stream in read_streams(deployment):
        if stream.fault:
            held[stream.shard] = f"stream {stream.key} refuses writes: {stream.fault}"
        elif stream.holding:
            behind = ", ".join(name for name, group in stream.groups.items() if least_lag(group))
            who = f"group {behind} has not read" if behind else "a consumer group must read"
            held[stream.shard] = f"stream {stream.key} is full at {stream.length:,} entries: {who}"
    return held


def _record(record: Notification) -> dict[str, object]:
    return {
        "type": record.type,
        "producer": record.producer,
        "severity": _severity(record),
        "created_at_ms": record.created_at_ms,
        "due_at_ms": record.due_at_ms,
        "expires_at_ms": record.expires_at_ms,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
    }


def _severity(record: Notification) -> str:
    try:
        return record.severity
    except Corrupt:
        return ""


def _payload(record: Notification | None) -> dict[str, Any] | None:
    try:
        return record.payload if record else None
    except Corrupt:
        return None
