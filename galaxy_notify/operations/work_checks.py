"""What is at work, what waits for it, and who reads: workers, backlogs, streams and groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.alarms import alarms
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding, Guarantee
from galaxy_notify.operations.group_checks import Group
from galaxy_notify.operations.health import LATEST_MS
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.readers import GroupName, Readers
from galaxy_notify.redis_inspect.stream import StreamReport


def worker_findings(status: DeploymentStatus) -> Iterator[Finding]:
    """Judge who works."""
    versions = sorted({worker.version for worker in status.alive})
    found = [alarm for alarm in alarms(status) if alarm.kind == "workers"]
    for alarm in found:
        means = "the routes it has claimed will be late" if status.alive else "nothing is published"
        todo = "; ".join((alarm.todo, *alarm.more))
        yield Finding("warning", "workers", alarm.what, means, todo, AVAILABILITY)
    if not status.alive:
        return
    if len(versions) > 1:
        what = f"workers run versions {', '.join(versions)}"
        yield Finding("warning", "workers", what, "normal during an upgrade", "finish the upgrade")
    elif not found:
        yield Finding("ok", "workers", f"{len(status.alive)} alive, version {versions[0]}")


def server_findings(status: DeploymentStatus) -> Iterator[Finding]:
    """Judge a server that was started just now."""
    for alarm in alarms(status):
        if alarm.kind == "restart":
            risk: Guarantee = AVAILABILITY
            means = "routes that became due meanwhile are late"
            if alarm.level == "error":
                means, risk = "accepted notifications that should have been published", LOST
            yield Finding("warning", "restart", alarm.what, means, alarm.todo, risk)


def refusal_findings(status: DeploymentStatus) -> Iterator[Finding]:
    """Judge whether writes are taken, for a user who may not try one."""
    for alarm in alarms(status):
        if alarm.kind == "writes":
            means = "nothing is accepted, published or cancelled; accepted notifications wait"
            yield Finding("error", "write", alarm.what, means, alarm.todo, AVAILABILITY)


def backlog_findings(status: DeploymentStatus) -> Iterator[Finding]:
    """Judge what is paused, is late, or rests."""
    for alarm in alarms(status):
        if alarm.kind == "paused":
            means = "new notifications wait, and may expire"
            yield Finding("warning", "paused", alarm.what, means, alarm.todo, AVAILABILITY)
    for name, backlog in status.channels.items():
        late = backlog.oldest_overdue_ms
        if late > LATEST_MS:
            what = f"channel {name}: {backlog.overdue:,} overdue, the oldest by {duration(late)}"
            todo = "`galaxy-notify status`, and `show ID` for one of them"
            yield Finding("warning", "lateness", what, "they come late", todo, AVAILABILITY)
        if backlog.dead:
            what = f"channel {name}: {backlog.dead:,} dead letters"
            means = "they stay until they are replayed or purged"
            todo = "`galaxy-notify dead stats`, then replay or purge them"
            yield Finding("warning", "dead", what, means, todo)


def stream_findings(
    status: DeploymentStatus, readers: Mapping[GroupName, Readers]
) -> Iterator[Finding]:
    """Judge the gateway streams and their groups; *readers* says who reads each group."""
    for stream in status.streams:
        yield from _stream(stream)
        for name, group in stream.groups.items():
            known = readers.get((stream.key, name), Readers())
            yield from Group(stream, name, group, known).findings()


def _stream(stream: StreamReport) -> Iterator[Finding]:
    if stream.fault:
        what = f"stream {stream.key} refuses writes: {stream.fault}"
        means = "nothing is published; no attempt is used"
        todo = "set gateway.stream to an unused key, or repair this key"
        yield Finding("error", "stream", what, means, todo, AVAILABILITY)
    elif stream.holding:
        since = f" for {duration(stream.held_ms)}" if stream.held_ms is not None else ""
        what = f"stream {stream.key} is full at {stream.length:,} entries{since}"
        means = "nothing is published until its groups read"
        todo = "start its consumers; the findings below show which groups have one"
        yield Finding("error", "stream", what, means, todo, AVAILABILITY)
    if not stream.groups and stream.length:
        what = f"no group reads {stream.key}"
        means = "beyond max_len the oldest entries are removed, read or not"
        yield Finding("warning", "stream", what, means, "read it with a consumer group", LOST)
