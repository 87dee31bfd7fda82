"""What is logged of an external channel: one line for each failure, and none for each route."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_notify.channels import reporter as reporter_module
from galaxy_notify.channels.endings import DueRoute, Ending
from galaxy_notify.channels.kind import Target
from galaxy_notify.channels.reporter import ChannelReporter
from galaxy_notify.contacts.contact import Contact
from galaxy_notify.model.live_event import LiveEvent
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route import Failure, Route, Status
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.delivery_outcomes import Deliver, GiveUp
from galaxy_notify.redis_state.settlement import Release
from tests.support.channel_world import BUSY, DELIVERED
from tests.support.telemetry import Lines, Metrics, json_logs

ID = "a" * 32
MEMBER = f"{ID}/mine:u1".encode()
ADDRESS = "ann@example.com"
NOTE = Notification(notification_id=ID, type="t", producer="p", created_at_ms=1000, content=b"\x80")
ROUTE = Route(Status.PENDING, 1000, 1000, attempts=2)
DUE = DueRoute(MEMBER, "u1", ROUTE, NOTE, LiveEvent("e", "t", "info", "", "", {}, 1), 1000)
TARGET = Target(Contact("c1", "mine", "", ADDRESS, {}, 1), "example.com")
WAITS = Ending(Release(MEMBER, 5000), NOTE, ROUTE, detail="a key is missing")
RELEASED = Answer("released", "")


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Give a function that reads what was logged."""
    with json_logs("info") as read:
        yield read


def _reporter(metrics: Metrics | None = None) -> ChannelReporter:
    return ChannelReporter((metrics or Metrics()).recorder, "mine", "host-1-abcd")


def test_attempt__that_failed_is_one_line_without_its_address(lines: Lines) -> None:
    """The line names the contact, and what was answered."""
    metrics = Metrics()
    reporter = _reporter(metrics)
    reporter.attempted(DUE, TARGET, DELIVERED, 0.1)
    reporter.attempted(DUE, TARGET, BUSY, 0.25)
    (line,) = lines()
    assert (line["event"], line["level"], line["channel"]) == ("delivery failed", "warning", "mine")
    assert (line["contact"], line["status"], line["attempt_number"]) == ("c1", 503, 3)
    assert ADDRESS not in str(line)
    found = metrics.read()
    assert {"deliveries.attempts", "deliveries.duration"} <= found.keys()
    assert ADDRESS not in str(found)


def test_ends__are_summed_up(lines: Lines) -> None:
    """Routes that ended are one line a second; a dead letter has a line of its own."""
    reporter = _reporter()
    for _ in range(3):
        ending = Ending(Deliver(MEMBER, b"2D", 1), NOTE, ROUTE)
        reporter.ended(ending, Answer("delivered", ""), 2000)
    failure = Failure("delivery_refused", "no such user")
    buried = Ending(GiveUp(MEMBER, b"1d", "delivery_refused"), NOTE, ROUTE, failure)
    reporter.ended(buried, Answer("buried", ""), 2000)
    reporter.log_sums(at_end=True)
    dead = [line for line in lines() if line["event"] == "route dead-lettered"]
    assert [line["failure_classification"] for line in dead] == ["delivery_refused"]
    sums = [line for line in lines() if line["event"] == "routes ended"]
    assert sum(line.get("delivered", 0) for line in sums) == 3
    assert sum(line.get("dead_lettered", 0) for line in sums) == 1


def test_waiting__is_logged_once_while_others_are_sent(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Routes of some users wait beside others that are sent: that is no end of it each time."""
    reporter = _reporter()
    for _ in range(5):
        reporter.ended(WAITS, RELEASED, 1000)
        reporter.attempted(DUE, TARGET, DELIVERED, 0.1)
    assert [line["event"] for line in lines()] == ["routes waiting"]
    monkeypatch.setattr(reporter_module, "_OVER_S", -1.0)
    reporter.attempted(DUE, TARGET, DELIVERED, 0.1)
    assert [line["event"] for line in lines()] == ["routes waiting", "routes sent again"]


def test_turns__at_a_host_are_not_logged(lines: Lines) -> None:
    """A route that waits for its turn is released, and that is usual."""
    _reporter().ended(WAITS._replace(detail=""), RELEASED, 1000)
    assert lines() == []


def test_own_fault__is_logged_at_its_edges(lines: Lines) -> None:
    """This machine cannot send: one line, however many routes meet it."""
    reporter = _reporter()
    for _ in range(3):
        reporter.failed_here(OSError(24, "Too many open files"))
    (line,) = lines()
    assert (line["event"], line["reason"]) == ("sends failing here", "Too many open files")


def test_irregular__routes_are_named(lines: Lines) -> None:
    """What could not be worked is a warning with the answer and the reason."""
    _reporter().ended(Ending(Release(MEMBER, 0), detail="final"), Answer("dropped", "final"), 1000)
    (line,) = lines()
    assert (line["event"], line["answer"], line["reason"]) == (
        "route set aside",
        "dropped",
        "final",
    )
