"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.feed_store import FeedFixture, feed_on
from tests.support.postgres import Postgres


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """Give a store on an empty database."""
    with feed_on(postgres) as made:
        yield made
