"""An outage is told at its edges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from tests.support.telemetry import Lines, json_logs


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and return a function that reads them all."""
    with json_logs() as read:
        yield read


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_outage__is_logged_at_its_edges(lines: Lines) -> None:
    """Going down is told once per reason, then once a minute; coming back with the downtime."""
    clock = Clock()
    edge = EdgeLog(get_logger("test"), clock=clock)
    assert edge.up() is None
    assert (edge.down("refused", "nobody listens"), edge.is_down) == (True, True)
    assert [edge.down("refused") for _ in range(50)] == [False] * 50
    assert edge.down("LOADING")
    assert not edge.down("refused")
    clock.now += 61
    assert edge.down("refused")
    clock.now += 1.5
    assert (edge.up(), edge.is_down) == (62.5, False)
    assert edge.down("refused")
    told = [(line["event"], line.get("code"), line["down_s"]) for line in lines()]
    assert told == [
        ("redis unavailable", "refused", 0.0),
        ("redis unavailable", "LOADING", 0.0),
        ("redis unavailable", "refused", 61.0),
        ("redis available again", None, 62.5),
        ("redis unavailable", "refused", 0.0),
    ]


def test_outage__endless_new_reasons_are_bounded() -> None:
    """A reason that is different every time is not logged every time."""
    edge = EdgeLog(get_logger("test"), clock=Clock())
    with capture_logs() as captured:
        for number in range(1000):
            edge.down(f"code-{number}")
    assert len(captured) == 20
