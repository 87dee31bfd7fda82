"""One notification explained: every route, its history, and why it is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from galaxy_notify.errors import Corrupt
from galaxy_notify.model.ids import Target, shard_of
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import HISTORY_KEPT, PUBLISHABLE, Route, Status
from galaxy_notify.model.route_body import Transition
from galaxy_notify.model.wording import ago, duration
from galaxy_notify.operations.dead_letter import attempts_made, history_line
from galaxy_notify.redis_inspect.notifications import (
    Lease,
    StoredNotification,
    StoredRoute,
    read_notification,
)
from galaxy_notify.redis_inspect.servers import WorkerState, read_workers
from galaxy_notify.redis_inspect.stream import read_streams
from galaxy_notify.redis_state.deployment import Deployment, read_all, server_now
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


#: What each reason of a skipped route means.
SKIPPED_WHY: Final = {
    "silenced": "the user has silenced all notifications",
    "no_channels": "the user has disabled this type",
    "channel_not_wanted": "the user has disabled this channel for it",
    "below_minimum": "its severity is below the user's minimum",
    "quiet_hours": "it would have expired before the user's quiet hours end",
    "cooldown": "the cooldown of this type had not ended for this user",
    "no_contact": "the user has no address for this channel",
    "unsubscribed": "the user has unsubscribed from it",
    "endpoint_disabled": "the endpoint is disabled",
    "read": "the user had read it before it was due here",
    "expires_first": "it would have expired before it could be sent",
}
_STATES: Final[Mapping[WorkerState, str]] = {
    "working": "",
    "silent": " (no recent progress)",
    "stopped": " (its process is stopped by a signal)",
    "gone": " (no longer alive)",
}
_FSCK: Final = "run `galaxy-notify fsck --fix`"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides about routes besides themselves; *holds* says why a shard's stream holds."""

    now_ms: int
    workers: Mapping[str, WorkerState]
    paused: frozenset[tuple[int, str]]
    holds: dict[int, str]
    max_attempts: int
    expires_at_ms: int | None


def why(stored: StoredRoute, shard: int, around: Surroundings) -> str:
    """Return why a route is where it is, and what an operator has to do, if anything."""
    route = stored.route
    if route is None:
        return "its state cannot be read: the next claim dead-letters it as record_corrupt"
    if route.status in PUBLISHABLE:
        return "; ".join(_waits(stored, route, shard, around))
    return _rests(stored, route, around.now_ms)


def _rests(stored: StoredRoute, route: Route, now_ms: int) -> str:
    when = ago(route.at_ms, now_ms)
    if route.status is Status.DEAD_LETTER:
        failure = route.failure
        reason = f", {failure.failure_class}: {failure.message}" if failure else ""
        return f"dead letter since {when}{reason}; `galaxy-notify dead replay {stored.member}`"
    if route.status is Status.PUBLISHED:
        return f"published {when} as {route.stream_id}"
    if route.status is Status.DELIVERED:
        note = route.history[-1].message if route.history else ""
        return f"delivered {when}" + (f": {note}" if note else "")
    if route.status is Status.SKIPPED:
        reason = route.history[-1].failure_class if route.history else ""
        return f"skipped {when}: {SKIPPED_WHY.get(reason, reason or 'no reason is known')}"
    actor = route.history[-1].worker if route.history else ""
    return f"{route.status} {when}" + (f" by {actor}" if actor else "")


def _waits(stored: StoredRoute, route: Route, shard: int, around: Surroundings) -> Iterator[str]:
    score, now = stored.scheduled_ms, around.now_ms
    if score is None:
        yield f"it is in no schedule, so no worker will find it: {_FSCK}"
        return
    if stored.lease is not None and score > now:
        yield _leased(stored.lease, around)
        return
    if score > now:
        yield _waits_for(route, score, around)
    else:
        yield from _late(stored, route, around)
    if route.done:
        yield f"sent to {len(route.done)} of its addresses so far"
    yield from _obstacles(stored, shard, around)


def _leased(lease: Lease, around: Surroundings) -> str:
    left = duration(lease.lapses_at_ms - around.now_ms)
    dead = _STATES[around.workers.get(lease.worker, "gone")]
    times = f", abandoned {lease.abandoned} times before" if lease.abandoned else ""
    return f"leased by {lease.worker}{dead} for another {left}{times}"


def _waits_for(route: Route, score: int, around: Surroundings) -> str:
    if route.status is Status.FAILED:
        most = route.max_attempts or around.max_attempts
        failure = route.failure
        reason = f" after {failure.failure_class}" if failure else ""
        return f"attempt {route.attempts + 1} of {most} {ago(score, around.now_ms)}{reason}"
    return f"due {ago(score, around.now_ms)}"


def _late(stored: StoredRoute, route: Route, around: Surroundings) -> Iterator[str]:
    expires = around.expires_at_ms
    if expires is not None and expires <= around.now_ms and route.generation == 1:
        yield f"expired {ago(expires, around.now_ms)}; marked expired when next claimed"
    yield f"due for {duration(around.now_ms - route.due_at_ms)}"
    if stored.lease is not None:
        yield f"the lease of {stored.lease.worker} expired"
    abandoned = stored.abandoned + (stored.lease is not None)
    if abandoned > 1:
        yield f"abandoned {abandoned} times, so it is claimed alone"
    if stored.ahead == 1:
        yield "one route of the channel is due before it"
    elif stored.ahead:
        yield f"{stored.ahead:,} routes of the channel are due before it"


def _obstacles(stored: StoredRoute, shard: int, around: Surroundings) -> Iterator[str]:
    channel = stored.channel
    if (shard, channel) in around.paused:
        yield f"channel {channel} is paused: `galaxy-notify resume {channel}`"
    if shard in around.holds:
        yield around.holds[shard]
    if all(state == "gone" for state in around.workers.values()):
        yield "no worker is alive: start `galaxy-notify run`"
