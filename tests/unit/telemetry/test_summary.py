"""What a daemon logs of settled batches: sums, at most a line a second for each channel."""

from __future__ import annotations

import pytest

from galaxy_notify.model.route import Failure, Route, Status
from galaxy_notify.publishing.batch import Decision
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.settlement import EventKind, Publish, RetryLater, Settled
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.summary import Summary
from tests.support.telemetry import json_logs

_KIND = EventKind(0, None, True, "t", "", "", "", "", b"")
_EVENT = Publish(b"m", b"push:u", "m", 0, b"", _KIND)


def test_summary__is_due_once_a_second() -> None:
    """The first batch is due at once, what follows within a second with the next one."""
    now = 100.0
    summed = Summary(lambda: now)
    assert not summed.is_due(at_end=True)
    summed.add({"published": 3}, 0.5)
    assert summed.is_due()
    assert summed.take() == {"batches": 1, "published": 3}
    summed.add({"published": 2, "stale": 1}, 0.2)
    summed.add({"published": 2}, 1.5)
    assert not summed.is_due()
    assert summed.is_due(at_end=True)
    now += 1
    assert summed.is_due()
    assert summed.latest_s == 1.5
    assert summed.take() == {"batches": 2, "published": 4, "stale": 1}
    assert (summed.latest_s, summed.is_due(at_end=True)) == (0.0, False)


def _settled(*answers: Answer) -> Settled:
    return Settled(2_000_000, 5, list(answers))


def test_reporter__sums_up_what_was_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred batches of two channels are a line of each, and one with the rest at the end."""
    monkeypatch.setattr("galaxy_notify.telemetry.summary.PERIOD_S", 3600.0)
    with json_logs() as lines:
        reporter = Reporter(Telemetry.off(), Keys("gn", 0), "host-1-abcd", 8)
        for number in range(100):
            channel = ("push", "email")[number % 2]
            item = Decision(_EVENT, None, Route(Status.PENDING, 1_999_000, 0))
            reporter.settled(channel, [item], _settled(Answer("published", "1-1")))
        reporter.log_sums(at_end=True)
        told = [line for line in lines() if line["event"] == "batch settled"]
    assert [(line["channel"], line["batches"], line["published"]) for line in told] == [
        ("push", 1, 1),
        ("email", 1, 1),
        ("push", 49, 49),
        ("email", 49, 49),
    ]
    assert {line["latest_s"] for line in told} == {1.0}


def test_reporter__tells_of_each_failure() -> None:
    """A retry has a line of its own, with the time of the next attempt as a number."""
    with json_logs() as lines:
        reporter = Reporter(Telemetry.off(), Keys("gn", 0), "host-1-abcd", 8)
        failure = Failure("payload_encoding_failed", "no codec")
        items = [
            Decision(RetryLater(b"m%d" % n, b"", 1000), None, Route(Status.PENDING, 0, 0), failure)
            for n in (1, 2)
        ]
        answers = [Answer("retried", "2001000"), Answer("retried", "2002000")]
        reporter.settled("push", items, _settled(*answers))
        told = [line for line in lines() if line["event"] == "route retried"]
    assert [line["next_attempt_at_ms"] for line in told] == [2_001_000, 2_002_000]
