"""What needs an operator now, one line each: the same in ``status``, ``health`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.refusal import refusal, way_out
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.feed import FeedState
from galaxy_notify.redis_inspect.gateways import Gateway
from galaxy_notify.redis_inspect.inspector import ChannelBacklog
from galaxy_notify.redis_inspect.readers import Readers
from galaxy_notify.redis_inspect.servers import Worker
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.gateways import REALTIME_GROUP

Kind = Literal[
    "restart", "writes", "workers", "paused", "late", "stream", "lost", "gateways", "feed"
]

#: A restart is reported for this long, and for longer if all data was lost.
_RESTARTED_S: Final = 60
_EMPTY_S: Final = 3600
#: This long after the start of a server its daemons have tried again.
_BACK_S: Final = 10
#: Running workers catch up with less before an operator could look.
_LATE_MS: Final = 10_000
_NAMED: Final = 3
#: Gateways take over what another one left after seconds.
_BEHIND_MS: Final = 60_000
_ASK_POSTGRES: Final = (
    "Postgres is away or slow: `galaxy-notify doctor`, and see the logs of the writers"
)
#: Consumers that were not seen for this long are gone: a restart or a long handler takes less.
GONE_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that needs an operator; *todo* is the remedy, *more* has a line for each cause."""

    kind: Kind
    level: Literal["warning", "error"]
    what: str
    todo: str = ""
    more: tuple[str, ...] = ()


def alarms(status: DeploymentStatus) -> Iterator[Alarm]:
    """Yield what needs an operator; what stops everything comes first."""
    yield from _server(status)
    yield from _workers(status)
    for name, backlog in status.channels.items():
        yield from _channel(name, backlog, status.shards)
    for stream in status.streams:
        yield from _stream(stream)
    yield from _gateways(status)
    if status.feed is not None:
        yield from _feed(status, status.feed)


def _server(status: DeploymentStatus) -> Iterator[Alarm]:
    fault, uptime = status.redis.refusal, status.redis.uptime_s
    if fault is not None:
        what = f"redis refuses writes: {refusal(fault)}"
        yield Alarm("writes", "error", what, way_out(fault.code))
    if uptime is None or not _outlived(status, uptime):
        return
    what = f"redis was restarted {duration(uptime * 1000)} ago"
    if uptime < _EMPTY_S and _is_empty(status):
        todo = "notifications accepted before are lost: restore a backup or send them again"
        yield Alarm("restart", "error", f"{what} and is empty", todo)
    elif uptime < _RESTARTED_S:
        yield Alarm("restart", "warning", what, "see its log for the reason")


def _outlived(status: DeploymentStatus, uptime_s: int) -> bool:
    """Return whether a worker started before the server: then the server has restarted."""
    # The uptime is in whole seconds, and hosts' clocks are a little apart.
    before_ms = status.at_ms - (uptime_s + 2) * 1000
    return any(0 < worker.started_ms < before_ms for worker in status.workers)


def _is_empty(status: DeploymentStatus) -> bool:
    return (
        not any(status.totals.values())
        and not any(backlog.scheduled or backlog.dead for backlog in status.channels.values())
        and not any(stream.length for stream in status.streams)
    )


def _workers(status: DeploymentStatus) -> Iterator[Alarm]:
    by_state: dict[str, list[Worker]] = {}
    for worker in status.workers:
        by_state.setdefault(worker.state, []).append(worker)
    gone = by_state.get("gone", [])
    if not status.alive:
        yield _no_worker(status, gone)
    elif gone:
        todo = "routes it had claimed are claimed again when their leases expire"
        yield Alarm("workers", "warning", f"the process of {_ids_of(gone)} has ended", todo)
    if stopped := by_state.get("stopped"):
        todo = _continuing(stopped)
        what = f"the process of {_ids_of(stopped)} is stopped by a signal"
        yield Alarm("workers", "warning", what, todo)
    silent = by_state.get("silent")
    if silent and not _cannot_report(status):
        since = duration(status.at_ms - min(worker.progress_ms for worker in silent))
        todo = "it hangs, cannot reach Redis, or has died: see its log"
        yield Alarm("workers", "warning", f"no progress for {since} of {_ids_of(silent)}", todo)


def _cannot_report(status: DeploymentStatus) -> bool:
    """Return whether Redis is why workers are silent: it refuses them, or did until just now."""
    uptime = status.redis.uptime_s
    return status.redis.refusal is not None or (uptime is not None and uptime < _BACK_S)


def _no_worker(status: DeploymentStatus, gone: Sequence[Worker]) -> Alarm:
    todo = "start one with `galaxy-notify run`"
    if gone:
        what = f"no worker is alive, the process of {_ids_of(gone)} has ended"
        return Alarm("workers", "error", what, todo)
    if status.redis.refusal is not None:
        todo = "check its log or `systemctl status galaxy-notify`"
        return Alarm("workers", "warning", "no worker can report while redis refuses writes", todo)
    young = f"redis was started {status.redis.uptime_s} s ago: a waiting daemon reconnects"
    more = (f"{young} within {_BACK_S} s",) if _cannot_report(status) else ()
    return Alarm("workers", "error", "no worker is alive", todo, more)


def _ids_of(processes: Sequence[Worker | Gateway], kind: str = "worker") -> str:
    named = ", ".join(process.id for process in processes[:_NAMED])
    others = f" and {len(processes) - _NAMED} more" if len(processes) > _NAMED else ""
    return f"{kind}{'s' * (len(processes) > 1)} {named}{others}"


def _continuing(stopped: Iterable[Worker | Gateway]) -> str:
    return f"`kill -CONT {' '.join(str(process.pid) for process in [*stopped][:_NAMED])}`"


def _gateways(status: DeploymentStatus) -> Iterator[Alarm]:
    """Yield what needs an operator about gateways; a deployment without any needs nothing."""
    by_state: dict[str, list[Gateway]] = {}
    for gateway in status.gateways:
        by_state.setdefault(gateway.state, []).append(gateway)
    if gone := by_state.get("gone"):
        what = f"the process of {_ids_of(gone, 'gateway')} has ended"
        yield Alarm("gateways", "warning", what, "its users connect to another one: see its log")
    if stopped := by_state.get("stopped"):
        what = f"the process of {_ids_of(stopped, 'gateway')} is stopped by a signal"
        yield Alarm("gateways", "warning", what, _continuing(stopped))
    silent = by_state.get("silent")
    if silent and not _cannot_report(status):
        since = duration(status.at_ms - min(gateway.progress_ms for gateway in silent))
        what = f"no progress for {since} of {_ids_of(silent, 'gateway')}"
        todo = "it hangs, cannot reach Redis, or has died: see its log"
        yield Alarm("gateways", "warning", what, todo)
    for gateway in status.gateways:
        if gateway.is_behind:
            what = f"gateway {gateway.id} has {gateway.lag:,} unread entries in its inbox"
            todo = "it hangs or has too many users: start another one"
            yield Alarm("gateways", "warning", what, todo)
    yield from _delays(status)


def _delays(status: DeploymentStatus) -> Iterator[Alarm]:
    is_read = any(gateway.is_alive and gateway.consumes for gateway in status.gateways)
    for key, delay_ms in status.gateway_delays.items():
        late = f"group {REALTIME_GROUP} of {key} is behind by {duration(delay_ms)}"
        if not is_read:
            what = f"no gateway is alive that reads events, {late}"
            todo = "start one with `galaxy-notify gateway`"
            if not status.gateways:
                drop = f"`galaxy-notify stream drop-group {REALTIME_GROUP}`"
                todo = f"{todo}, or drop the group: {drop}"
            yield Alarm("gateways", "warning", what, todo)
        elif delay_ms > _BEHIND_MS:
            yield Alarm("gateways", "warning", late, "see the logs of the gateways, or start more")


def _feed(status: DeploymentStatus, feed: FeedState) -> Iterator[Alarm]:
    events = f"{feed.waiting:,} {'event waits' if feed.waiting == 1 else 'events wait'}"
    oldest = f", the oldest for {duration(feed.oldest_ms)}" if feed.waiting else ""
    # While Redis refuses writes, no writer can report.
    if feed.unattended and status.redis.refusal is None:
        is_part = feed.unattended < status.shards
        part = f" on {feed.unattended} of {status.shards} shards" if is_part else ""
        todo = "start one with `galaxy-notify feed`, or with feed.enabled in the daemon"
        if not feed.writers and not feed.is_expected:
            drop = f"`galaxy-notify stream drop-group {FEED_GROUP}`"
            todo = f"{todo}; without a feed, drop its group: {drop}"
        what = f"no writer of the feed is alive{part}, {events}{oldest}"
        yield Alarm("feed", "warning", what, todo)
    elif feed.oldest_ms > _BEHIND_MS:
        yield Alarm("feed", "warning", f"the feed is behind: {events}{oldest}", _ASK_POSTGRES)


def _channel(name: str, backlog: ChannelBacklog, shards: int) -> Iterator[Alarm]:
    if backlog.paused:
        # A pause that was interrupted is not on every shard.
        on = f" on {backlog.paused_shards} of {shards} shards"
        where = on if backlog.paused_shards < shards else ""
        since = f" for {duration(backlog.paused_ms)}" if backlog.paused_ms is not None else ""
        due = f", {backlog.due:,} due" if backlog.due else ""
        what = f"channel {name} is paused{where}{since}{due}"
        yield Alarm("paused", "warning", what, f"`galaxy-notify resume {name}`")
    elif backlog.oldest_overdue_ms > _LATE_MS:
        late = duration(backlog.oldest_overdue_ms)
        what = f"channel {name} is late: {backlog.overdue:,} overdue, the oldest by {late}"
        yield Alarm("late", "warning", what)


def _stream(stream: StreamReport) -> Iterator[Alarm]:
    if stream.fault:
        yield Alarm("stream", "error", f"stream {stream.key} refuses writes", stream.fault)
    elif stream.holding:
        since = f" for {duration(stream.held_ms)}" if stream.held_ms is not None else ""
        what = f"stream {stream.key} is full, publishing is suspended{since}"
        todo = f"{stream.length:,} entries, twice its limit of {stream.max_len:,}"
        groups = stream.groups.items()
        behind = [name for name, group in groups if group["pending"] or group["lag"] != 0]
        more = tuple(_behind(name, stream.readers.get(name, Readers())) for name in behind)
        yield Alarm("stream", "error", what, todo, more)
    for name, group in stream.groups.items():
        if group["lost"]:
            entries = "entry" if group["lost"] == 1 else "entries"
            what = f"group {name} lost {group['lost']:,} {entries}"
            yield Alarm("lost", "warning", what, f"of {stream.key} to trimming")


def _behind(name: str, readers: Readers) -> str:
    """Name a group that must read; suggest dropping it only where it has no reader."""
    if name == FEED_GROUP:
        # It is dropped only where there shall be no feed, and with all that waits for it.
        start = "start a writer of the feed: `galaxy-notify feed`"
        return start if readers.is_gone_for(GONE_MS) else f"group {name} must read; {_ASK_POSTGRES}"
    if readers.is_gone_for(GONE_MS):
        drop = f"`galaxy-notify stream drop-group {name}`"
        return f"start consumers of group {name}, or drop it: {drop}"
    if not readers.is_seen_known:
        reason = "no permission for XINFO CONSUMERS"
        return f"group {name} must read; its consumers are unknown: {reason}"
    seen = duration(readers.seen_ms or 0)
    return f"group {name} must read; its consumer {readers.seen} was last seen {seen} ago"
