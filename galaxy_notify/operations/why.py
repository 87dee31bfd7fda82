"""Why a route is where it is, in words for the person who looks for a late notification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from galaxy_notify.model.route import PUBLISHABLE, Route, Status
from galaxy_notify.model.wording import ago, duration
from galaxy_notify.redis_inspect.notifications import Lease, StoredRoute
from galaxy_notify.redis_inspect.servers import WorkerState

#: What each reason of a skipped route means.
SKIPPED_WHY: Final = {
    "silenced": "the user has silenced all notifications",
    "no_channels": "the user has disabled this type",
    "channel_not_wanted": "the user has disabled this channel for it",
    "below_minimum": "its severity is below the user's minimum",
    "quiet_hours": "it would have expired before the user's quiet hours end",
    "cooldown": "the cooldown of this type had not ended for this user",
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
