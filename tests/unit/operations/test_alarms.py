"""Which lines an operator gets, from plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from galaxy_notify.operations.alarms import alarms
from galaxy_notify.operations.status import DeploymentStatus
from galaxy_notify.redis_client.faults import Fault, Remedy
from galaxy_notify.redis_inspect.feed import FeedState, FeedWriter
from galaxy_notify.redis_inspect.gateways import Gateway
from galaxy_notify.redis_inspect.inspector import ChannelBacklog
from galaxy_notify.redis_inspect.node_report import ServerState
from galaxy_notify.redis_inspect.readers import Readers
from galaxy_notify.redis_inspect.servers import ServerName, Worker
from galaxy_notify.redis_inspect.stream import StreamReport
from galaxy_notify.redis_inspect.totals import SKIPPED, TOTALS
from galaxy_notify.redis_state.group_report import GroupReport

NOW = 1_900_000_000_000
WORKER = Worker("a-1-ff", "a", 1, "0.1.0", NOW - 600_000, NOW)
GATEWAY = Gateway("gw-1", 3, 2, 0, "a", 1, "0.1.0", NOW - 600_000, NOW)
WRITER = FeedWriter("w-1", NOW)
OOM = ServerState("refused", Fault("OOM", Remedy.RETRY, "command not allowed"), 7000)
WELL = DeploymentStatus(
    NOW,
    ServerName("redis", "7.0.15", "master"),
    1,
    {"push": ChannelBacklog()},
    dict.fromkeys(TOTALS, 0),
    dict.fromkeys(SKIPPED, 0),
    [StreamReport(0, "{gn:0}:client-events", 0, 1000, holding=False)],
    [WORKER],
    ServerState("taken", None, 7000),
)


def told(status: DeploymentStatus) -> list[str]:
    """Return what is said, without what helps."""
    return [alarm.what for alarm in alarms(status)]


def of_worker(**fields: object) -> DeploymentStatus:
    """Return the status with its one worker changed."""
    return replace(WELL, workers=[replace(WORKER, **fields)])  # type: ignore[arg-type]


def restarted(seconds: int, **fields: object) -> DeploymentStatus:
    """Return the status of a server that was started so long ago."""
    redis = ServerState("taken", None, seconds)
    return replace(WELL, redis=redis, **fields)  # type: ignore[arg-type]


def test_alarms__nothing_of_what_is_well() -> None:
    """Nobody is woken for nothing; neither where we may not ask the server."""
    assert told(WELL) == []
    assert told(replace(WELL, redis=ServerState("unknown", None, None))) == []


def test_alarms__a_restart_is_told_for_a_minute() -> None:
    """What it kept is there; later it is no news."""
    kept = {"accepted": 3, "published": 3}
    assert told(restarted(12, totals=kept)) == ["redis was restarted 12 s ago"]
    assert told(restarted(61, totals=kept)) == []


def test_alarms__a_restart_that_lost_everything_is_told_longer() -> None:
    """Zeros everywhere would pass for a quiet deployment."""
    what = "redis was restarted 5 min ago and is empty"
    (alarm,) = alarms(restarted(300))
    assert alarm.what == what
    # A deployment that was founded and not used yet looks the same.
    assert alarm.todo.startswith("notifications accepted before are lost")
    assert told(restarted(3601)) == []
    assert told(restarted(300, channels={"push": ChannelBacklog(scheduled=1)})) == []


def test_alarms__the_first_start_of_all_is_no_restart() -> None:
    """Only a worker that is older than its server shows that there was another one before."""
    young = replace(WORKER, started_ms=NOW - 2000)
    assert told(restarted(5, workers=[young])) == []
    assert told(restarted(5, workers=[replace(WORKER, started_ms=0)])) == []


def test_alarms__a_server_that_refuses_explains_silent_workers() -> None:
    """They cannot tell of their progress; what is known of their process is still said."""
    refused = "redis refuses writes: OOM: command not allowed"
    assert told(replace(of_worker(state="silent"), redis=OOM)) == [refused]
    nobody = "no worker can report while redis refuses writes"
    assert told(replace(WELL, redis=OOM, workers=[])) == [refused, nobody]
    gone = "no worker is alive, the process of worker a-1-ff has ended"
    assert told(replace(of_worker(state="gone"), redis=OOM)) == [refused, gone]


def test_alarms__nobody_right_after_a_start_may_be_on_its_way() -> None:
    """The advice to start a daemon comes with how long to wait for those that run."""
    (alarm,) = alarms(restarted(3, workers=[]))
    assert alarm.what == "no worker is alive"
    assert alarm.more == ("redis was started 3 s ago: a waiting daemon reconnects within 10 s",)
    (alarm,) = alarms(restarted(30, workers=[]))
    assert alarm.more == ()


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ("silent", "no progress for 12 s of worker a-1-ff"),
        ("stopped", "the process of worker a-1-ff is stopped by a signal"),
        ("gone", "no worker is alive, the process of worker a-1-ff has ended"),
    ],
)
def test_alarms__a_worker_that_does_not_work(state: str, what: str) -> None:
    """Each with what is known of it."""
    assert told(of_worker(state=state, progress_ms=NOW - 12_000)) == [what]


def test_alarms__one_of_two_workers_is_gone() -> None:
    """The other one works; of many only some are named."""
    gone = [replace(WORKER, id=f"b-{n}", state="gone") for n in range(5)]
    what = "the process of workers b-0, b-1, b-2 and 2 more has ended"
    assert told(replace(WELL, workers=[WORKER, *gone])) == [what]


def test_alarms__a_pause_with_its_age_and_what_waits() -> None:
    """Of a pause by an older version the age is unknown."""
    paused = ChannelBacklog(due=1500, paused_shards=1, paused_ms=125_000, oldest_overdue_ms=90_000)
    expected = ["channel push is paused for 2 min 5 s, 1,500 due"]
    assert told(replace(WELL, channels={"push": paused})) == expected
    old = ChannelBacklog(paused_shards=1)
    assert told(replace(WELL, channels={"push": old})) == ["channel push is paused"]


def test_alarms__lateness_before_it_is_a_reason() -> None:
    """A backlog that workers clear within seconds is not worth a line."""
    late = ChannelBacklog(due=30, overdue=30, oldest_overdue_ms=11_000)
    expected = ["channel push is late: 30 overdue, the oldest by 11 s"]
    assert told(replace(WELL, channels={"push": late})) == expected
    assert told(replace(WELL, channels={"push": replace(late, oldest_overdue_ms=9000)})) == []


def test_alarms__a_stream_that_holds_with_since_when() -> None:
    """It names who must read."""
    group = {"lag": 5, "pending": 0, "oldest_pending_s": None, "lost": None}
    stream = replace(WELL.streams[0], length=2000, holding=True, held_ms=7000)
    stream = replace(stream, groups={"slow": group})  # type: ignore[dict-item]
    (alarm,) = alarms(replace(WELL, streams=[stream]))
    assert alarm.what == "stream {gn:0}:client-events is full, publishing is suspended for 7 s"
    unknown = "its consumers are unknown: no permission for XINFO CONSUMERS"
    assert alarm.more == (f"group slow must read; {unknown}",)


@pytest.mark.parametrize(
    ("readers", "more"),
    [
        (
            Readers(True),
            "start consumers of group slow, or drop it: `galaxy-notify stream drop-group slow`",
        ),
        (
            Readers(True, 90_000, "a"),
            "group slow must read; its consumer a was last seen 1 min 30 s ago",
        ),
    ],
)
def test_alarms__name_a_group_to_drop_only_where_nobody_reads(readers: Readers, more: str) -> None:
    """A group with a living consumer must read; only one that is left by all may go."""
    group = GroupReport(lag=5, pending=0, oldest_pending_s=None, lost=None)
    stream = replace(WELL.streams[0], length=2000, holding=True, groups={"slow": group})
    (alarm,) = alarms(replace(WELL, streams=[replace(stream, readers={"slow": readers})]))
    assert alarm.more == (more,)


@pytest.mark.parametrize(
    ("readers", "more"),
    [
        (Readers(True), "start a writer of the feed: `galaxy-notify feed`"),
        (
            Readers(True, 90_000, "a"),
            "group feed must read; Postgres is away or slow: `galaxy-notify doctor`, and see the"
            " logs of the writers",
        ),
    ],
)
def test_alarms__never_advise_to_drop_the_feed(readers: Readers, more: str) -> None:
    """All that waits for it would be lost with its group."""
    group = GroupReport(lag=5, pending=0, oldest_pending_s=None, lost=None)
    stream = replace(WELL.streams[0], length=2000, holding=True, groups={"feed": group})
    (alarm,) = alarms(replace(WELL, streams=[replace(stream, readers={"feed": readers})]))
    assert alarm.more == (more,)


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ("silent", "no progress for 20 s of gateway gw-1"),
        ("stopped", "the process of gateway gw-1 is stopped by a signal"),
        ("gone", "the process of gateway gw-1 has ended"),
    ],
)
def test_alarms__a_gateway_that_does_not_work(state: Any, what: str) -> None:
    """Each with what is known of it; a server that refuses writes explains silent ones."""
    gateways = [replace(GATEWAY, state=state, progress_ms=NOW - 20_000)]
    assert told(replace(WELL, gateways=gateways)) == [what]
    refused = told(replace(WELL, gateways=gateways, redis=OOM))
    assert (what in refused) is (state != "silent")


def test_alarms__events_that_gateways_do_not_read() -> None:
    """Some seconds are no news while a gateway is alive; without one each event waits."""
    late = "group realtime of s is behind by"
    some = replace(WELL, gateway_delays={"s": 5_000})
    assert told(some) == [f"no gateway is alive that reads events, {late} 5 s"]
    assert told(replace(some, gateways=[GATEWAY])) == []
    serving = replace(some, gateways=[replace(GATEWAY, consumes=False)])
    assert told(serving) == [f"no gateway is alive that reads events, {late} 5 s"]
    later = replace(WELL, gateways=[GATEWAY], gateway_delays={"s": 61_000})
    assert told(later) == [f"{late} 1 min 1 s"]


@pytest.mark.parametrize(
    ("feed", "what"),
    [
        (FeedState(0, 0, 0, writers=[WRITER]), ()),
        (FeedState(9, 0, 3, oldest_ms=60_000, writers=[WRITER]), ()),
        (
            FeedState(9, 2000, 0, oldest_ms=61_000, writers=[WRITER]),
            ("the feed is behind: 2,009 events wait, the oldest for 1 min 1 s",),
        ),
        (
            FeedState(1, 0, 0, oldest_ms=5_000, unattended=1),
            ("no writer of the feed is alive, 1 event waits, the oldest for 5 s",),
        ),
        (
            FeedState(0, 0, 0, unattended=1, writers=[WRITER]),
            ("no writer of the feed is alive, 0 events wait",),
        ),
    ],
)
def test_alarms__a_feed_that_is_not_written(feed: FeedState, what: tuple[str, ...]) -> None:
    """Named at once where no writer lives; where one does, it has a minute."""
    status = replace(WELL, feed=feed)
    assert told(status) == [*what]
    if feed.unattended:
        (alarm,) = alarms(status)
        assert ("drop-group feed" in alarm.todo) is not bool(feed.writers)
        (some,) = told(replace(status, shards=4))
        assert "no writer of the feed is alive on 1 of 4 shards" in some
        refused = told(replace(status, redis=OOM))
        assert not any("no writer" in line for line in refused)
