"""Counts that reach OpenTelemetry when something reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from galaxy_notify.telemetry.instruments import DeferredCounter
from tests.support.telemetry import Metrics


class _Counter:
    """Remembers what was added."""

    def __init__(self) -> None:
        self.added: list[tuple[int, Mapping[str, str]]] = []

    def add(self, count: int, attributes: Mapping[str, str]) -> None:
        self.added.append((count, attributes))


def test_add__waits_after_the_first_of_its_attributes() -> None:
    """A time series begins with its first count; the sum of the others follows."""
    counter: Any = _Counter()
    deferred = DeferredCounter(counter)
    for name in ("a", "a", "b", "a"):
        deferred.add(2, {"name": name})
    assert counter.added == [(2, {"name": "a"}), (2, {"name": "b"})]
    for _ in range(2):
        deferred.flush()
        assert counter.added[2:] == [(4, {"name": "a"})]


@pytest.mark.parametrize("reads", [1, 3])
def test_reader__has_every_count(reads: int) -> None:
    """What was counted up to a read is in it, and is counted once."""
    metrics = Metrics()
    for _ in range(reads):
        for _ in range(5):
            metrics.recorder.accepted(2, {"push": 3}, duplicates=1)
            metrics.recorder.request("GET", "/healthz", 200, "ann", 0.1)
        metrics.read()
    assert metrics.values("notifications.accepted") == {
        ("accepted",): 10 * reads,
        ("duplicate",): 5 * reads,
    }
    assert metrics.values("http.client.requests") == {("ann", "200"): 5 * reads}
    assert metrics.recorder.shutdown()
