"""Deployments for the integration tests; what must always hold is checked after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.servers import Server
from tests.support.site import Site
from tests.support.telemetry import Lines, json_logs


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Send JSON logs to memory and give a function that reads them all."""
    with json_logs() as read:
        yield read


@pytest.fixture
def found(lines: Lines) -> Iterator[Callable[..., Site]]:
    """Found a deployment on a server: ``found(server, section__field=value)``."""
    with ExitStack() as stack:

        def make(server: Server, **settings: Any) -> Site:
            site = Site(server.url, **settings)
            stack.callback(site.close)
            # Runs first, while the connections are open.
            stack.callback(_check, site)
            return site

        yield make


def _check(site: Site) -> None:
    if site.whole:
        site.assert_sound()
