"""Whether everything moves: one answer for probes and alarms, with the reasons against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter, time_ns
from typing import Final

from galaxy_notify.model.ids import random_id, shard_of
from galaxy_notify.operations.alarms import Alarm, alarms
from galaxy_notify.operations.refusal import refusal
from galaxy_notify.operations.status import DeploymentStatus, read_status
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.flows import unwrap
from galaxy_notify.redis_client.runner import run_all_sync
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.deployment import Deployment

LATEST_MS: Final = 60_000
_MARK_MS: Final = 1000


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a deployment is well; *reasons* say what is not, *warnings* what soon may not be.

    Something that was paused on purpose is a warning, too: it is no reason to restart anything.
    """

    write_ms: float | None
    status: DeploymentStatus | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.reasons

    @property
    def workers(self) -> int | None:
        """Return how many workers are alive, None where Redis could not be asked."""
        return len(self.status.alive) if self.status else None

    def as_json(self) -> dict[str, object]:
        """Return what ``health --json`` prints."""
        return {
            "ok": self.ok,
            "reasons": list(self.reasons),
            "warnings": list(self.warnings),
            "write_ms": self.write_ms,
            "workers": self.workers,
        }


def check_health(deployment: Deployment, *, has_feed: bool = False) -> Health:
    """Write, and look for workers and for what is late; raise `RedisFault` without Redis.

    *has_feed* as for `read_status`.
    """
    reasons: list[str] = []
    write_ms: float | None = None
    try:
        write_ms = round(write_round_trip(deployment) * 1000, 3)
    except RedisFault as fault:
        if fault.fault.code in ("connection", "timeout"):
            raise
        reasons.append(f"redis refuses writes: {refusal(fault.fault)}")
    status = read_status(deployment, with_memory=False, has_feed=has_feed)
    found = list(alarms(status))
    reasons += _stands_still(status, found)
    return Health(write_ms, status, tuple(reasons), tuple(_warnings(status, found)))


def write_round_trip(deployment: Deployment) -> float:
    """Run a writing script on every shard and return the seconds; raise `RedisFault`.

    It marks a notification that does not exist as cancelled, for a second.
    """
    unknown = _unknown_ids(deployment.shared.shards)
    started = perf_counter()
    replies = run_all_sync(
        deployment.client,
        [
            calls.route_cancel(keys, unknown[keys.shard], (), keep_ms=_MARK_MS, mark=True)
            for keys in deployment.all_keys
        ],
    )
    for reply in replies:
        unwrap(reply)
    return perf_counter() - started


def _unknown_ids(shards: int) -> dict[int, str]:
    """Return the id of no notification for each shard; fsck would report one on another's."""
    found: dict[int, str] = {}
    while len(found) < shards:
        name = random_id(time_ns() // 1_000_000)
        found[shard_of(name, shards)] = name
    return found


def _stands_still(status: DeploymentStatus, found: Sequence[Alarm]) -> Iterator[str]:
    if not status.workers:
        yield "no worker made progress within 30 s"
    elif not status.alive:
        yield from (alarm.what for alarm in found if alarm.kind == "workers")
    for name, backlog in status.channels.items():
        if backlog.oldest_overdue_ms > LATEST_MS:
            seconds = backlog.oldest_overdue_ms // 1000
            yield f"channel {name} has routes overdue by up to {seconds:,} s"


def _warnings(status: DeploymentStatus, found: Sequence[Alarm]) -> Iterator[str]:
    """Yield what an operator should know besides the reasons.

    Entries that a group lost stay in the status for good, so they are not repeated here.
    """
    shown = {"writes", "lost"} if status.alive else {"writes", "lost", "workers"}
    late = any(backlog.oldest_overdue_ms > LATEST_MS for backlog in status.channels.values())
    for alarm in found:
        if alarm.kind not in shown and not (late and alarm.kind == "late"):
            yield f"{alarm.what}: {alarm.todo}" if alarm.todo else alarm.what
