"""Whatever waits, both roads end it alike: the script with its rest, and leases only."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from galaxy_notify.telemetry.logs import configure_logs
from tests.properties.roads.backlogs import Planted, backlogs
from tests.properties.roads.road import assert_same, both_roads
from tests.support.servers import Server
from tests.support.telemetry import logging_restored

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log nothing: what is left to a claim has a line for each route."""
    with logging_restored():
        configure_logs("error", "json", io.StringIO())
        yield


def _assert_alike(server: Server, examples: int, most: int, batch: int) -> None:
    """Drain generated backlogs by both roads and compare all that they leave behind."""
    with both_roads(server, batch) as (script, leased):

        @settings(max_examples=examples, suppress_health_check=_SLOW)
        @given(backlogs(most))
        def alike(backlog: list[Planted]) -> None:
            script.drain(backlog)
            leased.drain(backlog)
            assert_same(script.content(), leased.content())

        alike()
        # Both kinds of route were among them.
        assert script.items["route_publish"] > examples
        assert script.items["route_settle"] > examples
        assert not leased.items["route_publish"]


@pytest.mark.parametrize("batch", [3, 128])
def test_roads__leave_the_same_bytes(batch: int, any_server: Server) -> None:
    """Stream, notifications, indexes and totals are the same, route by route."""
    _assert_alike(any_server, 40, 8, batch)


@pytest.mark.extended
@pytest.mark.parametrize("batch", [1, 5, 256])
def test_roads__of_long_backlogs_leave_the_same_bytes(batch: int, any_server: Server) -> None:
    """The same of many backlogs, each of many batches."""
    _assert_alike(any_server, 400, 60, batch)
