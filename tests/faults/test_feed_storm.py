"""Row P9: the storm over writers of the feed."""

from __future__ import annotations

import pytest

from tests.faults.conftest import NewFeedRun
from tests.faults.support.feed_storm import FeedStorm

pytestmark = [pytest.mark.slow, pytest.mark.extended]


def test_rowp9__storm(feed_run: NewFeedRun) -> None:
    """Writers die about every second, Postgres three times, Redis twice: each event is one row."""
    one = feed_run(users=100, max_len=2000)
    FeedStorm(one, events=8000, per_s=400).run(1, postgres_kills=3, redis_kills=2)
