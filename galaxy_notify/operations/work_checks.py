"""What is at work, what waits for it, and who reads: workers, backlogs, streams and groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.alarms import alarms
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding, Guarantee
from galaxy_notify.operations.health import LATEST_MS
from galaxy_notify.operations.status import Status
from galaxy_notify.redis_state.group_report import GroupReport, least_lag
from galaxy_notify.redis_state.streams import Seen, StreamReport

_UNSEEN_MS: Final = 60_000
_PENDING_S: Final = 60


def worker_findings(status: Status) -> Iterator[Finding]:
    """Judge who works."""
    versions = sorted({worker.version for worker in status.alive})
    found = [alarm for alarm in alarms(status) if alarm.kind == "workers"]
    for alarm in found:
        means = "what it has claimed comes late" if status.alive else "nothing is published"
        todo = "; ".join((alarm.todo, *alarm.more))
        yield Finding("warning", "workers", alarm.what, means, todo, AVAILABILITY)
    if not status.alive:
        return
    if len(versions) > 1:
        what = f"workers of versions {', '.join(versions)} are at work"
        yield Finding("warning", "workers", what, "fine for the time of an upgrade", "finish it")
    elif not found:
        yield Finding("ok", "workers", f"{len(status.alive)} alive, version {versions[0]}")


def server_findings(status: Status) -> Iterator[Finding]:
    """Judge a server that was started just now."""
    for alarm in alarms(status):
        if alarm.kind == "restart":
            risk: Guarantee = AVAILABILITY
            means = "what fell due meanwhile comes late"
            if alarm.level == "error":
                means, risk = "producers were promised that it would be published", LOST
            yield Finding("warning", "restart", alarm.what, means, alarm.todo, risk)


def refusal_findings(status: Status) -> Iterator[Finding]:
    """Judge whether writes are taken, for a user who may not try one."""
    for alarm in alarms(status):
        if alarm.kind == "writes":
            means = "nothing is accepted, published or cancelled; what was accepted waits"
            yield Finding("error", "write", alarm.what, means, alarm.todo, AVAILABILITY)


def backlog_findings(status: Status) -> Iterator[Finding]:
    """Judge what is paused, is late, or rests."""
    for alarm in alarms(status):
        if alarm.kind == "paused":
            means = "what comes in waits, and expires where it has to"
            yield Finding("warning", "paused", alarm.what, means, alarm.todo, AVAILABILITY)
    for name, backlog in status.channels.items():
        late = backlog.oldest_overdue_ms
        if late > LATEST_MS:
            what = f"channel {name}: {backlog.overdue:,} overdue, the oldest by {duration(late)}"
            todo = "`galaxy-notify status`, and `show ID` for one of them"
            yield Finding("warning", "lateness", what, "they come late", todo, AVAILABILITY)
        if backlog.dead:
            what = f"channel {name}: {backlog.dead:,} dead letters"
            todo = "`galaxy-notify dead stats`, then replay or purge them"
            yield Finding("warning", "dead", what, "they rest until somebody decides", todo)


def stream_findings(status: Status, seen: Seen) -> Iterator[Finding]:
    """Judge the gateway streams and their groups; *seen* says when a consumer was seen last."""
    for stream in status.streams:
        yield from _stream(stream)
        for name, group in stream.groups.items():
            yield from _group(stream, name, group, _unread(seen, stream.key, name))


def _stream(stream: StreamReport) -> Iterator[Finding]:
    if stream.fault:
        what = f"stream {stream.key} takes nothing: {stream.fault}"
        means = "nothing is published; no attempt is spent"
        todo = "name a key of its own as gateway.stream, or mend the key"
        yield Finding("error", "stream", what, means, todo, AVAILABILITY)
    elif stream.holding:
        since = f" for {duration(stream.held_ms)}" if stream.held_ms is not None else ""
        what = f"stream {stream.key} holds at {stream.length:,} entries{since}"
        means = "nothing is published until its groups read"
        todo = "start its readers, or `galaxy-notify stream drop-group GROUP`"
        yield Finding("error", "stream", what, means, todo, AVAILABILITY)
    if not stream.groups and stream.length:
        what = f"no group reads {stream.key}"
        means = "beyond max_len the oldest entries go, read or not"
        yield Finding("warning", "stream", what, means, "read it with a consumer group", LOST)


def _unread(seen: Seen, stream: str, group: str) -> str:
    """Say why nobody seems to read; empty where somebody does, or where that is unknown."""
    if (stream, group) not in seen:
        return ""
    seen_ms = seen[stream, group]
    if seen_ms is None:
        return "it has no consumer"
    return f"none seen for {duration(seen_ms)}" if seen_ms >= _UNSEEN_MS else ""


def _group(stream: StreamReport, name: str, group: GroupReport, unread: str) -> Iterator[Finding]:
    lag, pending, oldest = least_lag(group), group["pending"], group["oldest_pending_s"] or 0.0
    over = "" if group["lag"] is not None else "over "
    state = f"{over}{lag:,} to read, {pending:,} pending"
    subject = f"group {name} of {stream.key}"
    if group["lost"]:
        what = f"{subject} lost {group['lost']:,} entries to trimming"
        todo = "raise gateway.max_len or gateway.group_idle_ms"
        yield Finding("warning", "stream", what, "its users missed these", todo, LOST)
    if (pending or lag) and unread:
        what = f"{subject} is not read, {unread}: {state}"
        means = f"its users get nothing; at {2 * stream.max_len:,} entries publishing holds"
        todo = f"start its gateway, or give it up: `galaxy-notify stream drop-group {name}`"
        yield Finding("warning", "consumers", what, means, todo, AVAILABILITY)
    elif oldest >= _PENDING_S:
        what = f"{subject}: {state}, the oldest for {duration(oldest * 1000)}"
        means = "a consumer has died or hangs with them; a living one takes them over"
        todo = "`galaxy-notify stream groups`, and the log of the gateways"
        yield Finding("warning", "consumers", what, means, todo, AVAILABILITY)
    elif lag >= stream.max_len:
        what = f"{subject} is behind: {state}"
        means = f"its users get events late; at {2 * stream.max_len:,} entries publishing holds"
        yield Finding("warning", "consumers", what, means, "start more gateways", AVAILABILITY)
    else:
        yield Finding("ok", "consumers", f"{subject}: {state}")
