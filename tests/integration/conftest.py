"""Deployments for the integration tests; what must always hold is checked after each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.roads import Road
from tests.support.servers import Server
from tests.support.telemetry import Lines, json_logs


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs("info") as read:
        yield read


@pytest.fixture
def road() -> Road:
    """Give the road of a worker as it comes; the marks of tests/support/roads.py give others."""
    return "script"


@pytest.fixture
def deploy(lines: Lines, road: Road) -> Iterator[Deploy]:
    """Make a deployment on a server: ``deploy(server, section__field=value)``."""
    with ExitStack() as stack:

        def make(server: Server, **settings: Any) -> DeploymentFixture:
            deployment = DeploymentFixture(server.url, **{"worker__publish": road} | settings)
            stack.callback(deployment.close)
            # Runs first, while the connections are open.
            stack.callback(_check, deployment)
            return deployment

        yield make


def _check(deployment: DeploymentFixture) -> None:
    if deployment.whole:
        deployment.assert_sound()
