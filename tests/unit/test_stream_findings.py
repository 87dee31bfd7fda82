"""What doctor says of the groups of a stream, from plain values."""

from __future__ import annotations

import pytest

from galaxy_notify.operations.status import Status
from galaxy_notify.operations.work_checks import stream_findings
from galaxy_notify.redis_state.group_report import GroupReport
from galaxy_notify.redis_state.server_state import ServerState
from galaxy_notify.redis_state.servers import ServerName
from galaxy_notify.redis_state.streams import Seen, StreamReport

EXACT = GroupReport(lag=7, pending=0, oldest_pending_s=None, lost=0)
OPEN = GroupReport(lag=None, lag_at_least=5_000, pending=0, oldest_pending_s=None, lost=0)
LOST = GroupReport(lag=0, pending=0, oldest_pending_s=None, lost=40)
KEY = ("stream", "g")


def told(group: GroupReport, seen: Seen) -> list[tuple[str, str]]:
    stream = StreamReport(0, "stream", 9_000, 100_000, holding=False, groups={"g": group})
    name, state = ServerName("redis", "7.0.15", "master"), ServerState("taken", None, None)
    status = Status(0, name, 1, {}, {}, {}, [stream], [], state)
    return [(finding.level, finding.what) for finding in stream_findings(status, seen)]


@pytest.mark.parametrize(
    ("group", "seen", "severity", "words"),
    [
        (EXACT, {KEY: 10}, "ok", "group g of stream: 7 to read, 0 pending"),
        (OPEN, {KEY: 10}, "ok", "over 5,000 to read"),
        (EXACT, {KEY: None}, "warning", "is not read, it has no consumer: 7 to read"),
        (OPEN, {KEY: 120_000}, "warning", "is not read, none seen for 2 min"),
        # Who may not ask for the consumers does not know, and says nothing of them.
        (EXACT, {}, "ok", "7 to read"),
        (LOST, {KEY: 10}, "warning", "group g of stream lost 40 entries to trimming"),
    ],
)
def test_group__is_judged_by_what_is_known(
    group: GroupReport, seen: Seen, severity: str, words: str
) -> None:
    """A lag that is only a lower bound says so; an unknown reader is no alarm."""
    found, what = told(group, seen)[0]
    assert (found, words in what) == (severity, True), what
