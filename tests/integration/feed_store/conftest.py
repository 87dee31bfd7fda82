"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.feed_store import FeedFixture, feed_on
from tests.support.postgres import Postgres, PostgresServer, postgres_of_run, quick_server


@pytest.fixture(scope="session", params=postgres_of_run(), ids=lambda found: f"{found.major}")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """Start a Postgres; in `make test-all` each test runs on every major version."""
    with quick_server(request.param) as server:
        yield server


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give a store on an empty database."""
    with feed_on(postgres) as made:
        yield made
