"""What the tests of the store share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from galaxy_notify.embedded.postgres_binaries import PostgresBinaries, find_postgres
from tests.support.feed_store import FeedFixture, feed_on
from tests.support.postgres import Postgres, PostgresServer, postgres_found, quick_server
from tests.support.suite import runs_all


def _of_run() -> list[PostgresBinaries]:
    """Return the Postgres of the tests; in `make test-all` one of each major version."""
    found = {each.major: each for each in reversed(find_postgres(os.environ["PATH"]))}
    return list(found.values()) if runs_all() else [postgres_found()]


@pytest.fixture(scope="session", params=_of_run(), ids=lambda found: f"{found.major}")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Start a Postgres; in `make test-all` each test runs on every major version."""
    with quick_server(request.param) as server:
        yield server


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give a store on an empty database."""
    with feed_on(postgres) as made:
        yield made
