"""Whether the groups of a stream are read: judged by what their consumers do, as far as we know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from galaxy_notify.model.wording import duration
from galaxy_notify.operations.alarms import GONE_MS
from galaxy_notify.operations.finding import AVAILABILITY, LOST, Finding
from galaxy_notify.redis_inspect.readers import Readers
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.group_report import GroupReport, least_lag

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
        means = (
            f"its users receive nothing; publishing stops at {2 * self.stream.max_len:,} entries"
        )
        todo = (
            "start its gateway; a gateway busy with one event for this long reads again afterwards"
        )
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
        todo = "`galaxy-notify stream groups`, and the log of the gateways"
        return Finding("warning", "consumers", what, means, todo, AVAILABILITY)

    def _behind(self) -> Finding | None:
        if least_lag(self.report) < self.stream.max_len:
            return None
        what = f"{self._subject} is behind: {self._state}"
        means = (
            f"its users get events late; publishing stops at {2 * self.stream.max_len:,} entries"
        )
        return Finding("warning", "consumers", what, means, "start more gateways", AVAILABILITY)

    def _unknown(self) -> Finding | None:
        if (self.readers.is_seen_known and self.readers.is_held_known) or not self._has_work:
            return None
        what = f"{self._subject}: {self._state}; whether it has a consumer is unknown"
        means = "this user may not list its consumers"
        todo = f"as an administrator: `redis-cli XINFO CONSUMERS {self.stream.key} {self.name}`"
        return Finding("unknown", "consumers", what, means, todo)
