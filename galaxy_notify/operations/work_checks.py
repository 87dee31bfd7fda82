"""What is at work, what waits for it, and who reads: workers, backlogs, streams and groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.alarms import GONE_MS, alarms
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding, Guarantee
from galaxy_notify.operations.health import LATEST_MS
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_inspect.readers import GroupName, Readers
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.feed_calls import FEED_GROUP
from galaxy_notify.redis_state.group_report import GroupReport, least_lag


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


_UNSEEN_MS: Final = 60_000
_HELD_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Group:
    """A group of a stream, and who reads it."""

    stream: StreamReport
    name: str
    report: GroupReport
    readers: Readers

    def findings(self) -> Iterator[Finding]:
        """Judge what it lost, and whether it is read."""
        if self.report["lost"]:
            what = f"{self._subject} lost {self.report['lost']:,} entries to trimming"
            means = "its users missed these events"
            todo = "raise gateway.max_len or gateway.group_idle_ms"
            yield Finding("warning", "stream", what, means, todo, LOST)
        well = Finding("ok", "consumers", f"{self._subject}: {self._state}")
        yield self._unread() or self._held() or self._behind() or self._unknown() or well

    @property
    def _subject(self) -> str:
        return f"group {self.name} of {self.stream.key}"

    @property
    def _state(self) -> str:
        over = "" if self.report["lag"] is not None else "over "
        return f"{over}{least_lag(self.report):,} to read, {self.report['pending']:,} pending"

    @property
    def _stops(self) -> str:
        return f"publishing stops at {2 * self.stream.max_len:,} entries"

    @property
    def _has_work(self) -> bool:
        return least_lag(self.report) > 0 or self.report["pending"] > 0

    def _unread(self) -> Finding | None:
        if not (self._has_work and self.readers.is_gone_for(_UNSEEN_MS)):
            return None
        seen_ms = self.readers.seen_ms
        why = (
            "it has no consumer" if seen_ms is None else f"no consumer seen for {duration(seen_ms)}"
        )
        what = f"{self._subject} is not read, {why}: {self._state}"
        means = f"its users receive nothing; {self._stops}"
        todo = (
            "start its gateway; a gateway busy with one event for this long reads again afterwards"
        )
        if self.name == FEED_GROUP:
            return self._feed_waits(what, "start a writer of the feed: `galaxy-notify feed`")
        # A consumer that waits in a read without end is given what there is to read.
        if self.readers.is_gone_for(GONE_MS) and least_lag(self.report):
            drop = f"`galaxy-notify stream drop-group {self.name}`"
            todo = f"start its gateway, or drop the group: {drop}"
        return Finding("warning", "consumers", what, means, todo, AVAILABILITY)

    def _held(self) -> Finding | None:
        held_ms, holder = self.readers.held_ms, self.readers.holder
        if held_ms is None or held_ms < _HELD_MS:
            return None
        what = f"{self._subject}: {self._state}, {holder} holds one for {duration(held_ms)}"
        means = "it is slow, hangs or has died; another live consumer takes the entry over"
        who = "writers" if self.name == FEED_GROUP else "gateways"
        todo = f"`galaxy-notify stream groups`, and the log of the {who}"
        return Finding("warning", "consumers", what, means, todo, AVAILABILITY)

    def _behind(self) -> Finding | None:
        if least_lag(self.report) < self.stream.max_len:
            return None
        what = f"{self._subject} is behind: {self._state}"
        if self.name == FEED_GROUP:
            todo = "see what is said of postgres here, and the logs of the writers"
            return self._feed_waits(what, todo)
        means = f"its users get events late; {self._stops}"
        return Finding("warning", "consumers", what, means, "start more gateways", AVAILABILITY)

    def _feed_waits(self, what: str, todo: str) -> Finding:
        means = f"notifications come late into the feed; {self._stops}"
        return Finding("warning", "consumers", what, means, todo, AVAILABILITY)

    def _unknown(self) -> Finding | None:
        if (self.readers.is_seen_known and self.readers.is_held_known) or not self._has_work:
            return None
        what = f"{self._subject}: {self._state}; whether it has a consumer is unknown"
        means = "this user may not list its consumers"
        todo = f"as an administrator: `redis-cli XINFO CONSUMERS {self.stream.key} {self.name}`"
        return Finding("unknown", "consumers", what, means, todo)
