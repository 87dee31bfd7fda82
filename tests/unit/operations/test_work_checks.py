"""What doctor says of the groups of a stream, from plain values."""

from __future__ import annotations

import pytest

from galaxy_notify.operations.finding import Finding
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.operations.work_checks import stream_findings
from galaxy_notify.redis_inspect.node_report import ServerState
from galaxy_notify.redis_inspect.readers import Readers
from galaxy_notify.redis_inspect.servers import ServerName
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_state.group_report import GroupReport

EXACT = GroupReport(lag=7, pending=0, oldest_pending_s=None, lost=0)
OPEN = GroupReport(lag=None, lag_at_least=5_000, pending=0, oldest_pending_s=None, lost=0)
LOST = GroupReport(lag=0, pending=0, oldest_pending_s=None, lost=40)
IDLE = GroupReport(lag=0, pending=0, oldest_pending_s=None, lost=0)
HELD = GroupReport(lag=0, pending=1, oldest_pending_s=9_000.0, lost=0)
BUSY = GroupReport(lag=7, pending=1, oldest_pending_s=900.0, lost=0)
DROP = "galaxy-notify stream drop-group g"


def read(seen_ms: int | None, held_ms: int | None = None) -> Readers:
    """Return who reads, as a user knows it who may ask."""
    return Readers(True, seen_ms, "gw-1", True, held_ms, "gw-1")


def found(group: GroupReport, readers: Readers, name: str = "g") -> Finding:
    stream = StreamReport(0, "stream", 9_000, 100_000, holding=False, groups={name: group})
    server, state = ServerName("redis", "7.0.15", "master"), ServerState("taken", None, None)
    status = DeploymentStatus(0, server, 1, {}, {}, {}, [stream], [], state)
    return next(stream_findings(status, {("stream", name): readers}))


@pytest.mark.parametrize(
    ("group", "readers", "severity", "words"),
    [
        (EXACT, read(10), "ok", "group g of stream: 7 to read, 0 pending"),
        (OPEN, read(10), "ok", "over 5,000 to read"),
        (EXACT, read(None), "warning", "is not read, it has no consumer: 7 to read"),
        (OPEN, read(120_000), "warning", "is not read, no consumer seen for 2 min"),
        # The entry was published a quarter of an hour ago, and delivered just now.
        (BUSY, read(2_000, 2_000), "ok", "7 to read, 1 pending"),
        (BUSY, read(10, 300_000), "warning", "gw-1 holds one for 5 min"),
        # Who may not ask for the consumers does not know, and says nothing of them.
        (EXACT, Readers(), "unknown", "7 to read, 0 pending; whether it has a consumer is unknown"),
        (BUSY, Readers(True, 10, "gw-1"), "unknown", "whether it has a consumer is unknown"),
        (IDLE, Readers(), "ok", "0 to read, 0 pending"),
        (LOST, read(10), "warning", "group g of stream lost 40 entries to trimming"),
    ],
)
def test_group__is_judged_by_what_is_known(
    group: GroupReport, readers: Readers, severity: str, words: str
) -> None:
    """A lag that is only a lower bound says so; an unknown reader is no alarm."""
    finding = found(group, readers)
    assert (finding.level, words in finding.what) == (severity, True), finding.what


@pytest.mark.parametrize(
    ("group", "readers", "is_proven"),
    [
        (EXACT, read(None), True),
        (EXACT, read(3_600_000), True),
        (EXACT, read(120_000), False),
        (BUSY, read(300_000, 300_000), False),
        # It may wait in a read without end: nothing came since.
        (HELD, read(7_200_000, 7_200_000), False),
        (EXACT, Readers(), False),
    ],
)
def test_group__may_be_dropped_only_where_nobody_is_proven_to_read(
    group: GroupReport, readers: Readers, is_proven: bool
) -> None:
    """A restart, a long handler, an endless read, and a missing right are no proof."""
    assert (DROP in found(group, readers).todo) is is_proven


@pytest.mark.parametrize(
    ("readers", "todo"),
    [
        (read(None), "start a writer of the feed: `galaxy-notify feed`"),
        (read(10), "see what is said of postgres here, and the logs of the writers"),
        (read(10, 300_000), "`galaxy-notify stream groups`, and the log of the writers"),
    ],
)
def test_group__of_the_feed_is_read_by_writers(readers: Readers, todo: str) -> None:
    """More gateways would not help, and its group is not dropped for being late."""
    far = GroupReport(lag=100_000, pending=1, oldest_pending_s=900.0, lost=0)
    assert found(far, readers, "feed").todo == todo
