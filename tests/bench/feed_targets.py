"""The targets of the feed in Postgres."""

from __future__ import annotations

from tests.bench.target import Target

FEED_TARGETS = (
    Target("feed, batches of 500 with counts", "feed", "counted", 6000, unit="rows/s"),
    Target("feed, with counts: × bare unnest", "feed", "counted", 0.35, "bare unnest"),
    Target("feed, with counts: × COPY", "feed", "counted", None, "COPY"),
    Target("feed: a page of 200,000: p99", "feed", "list: p99", 5, "", False, "ms"),
    Target("feed: unread ones of 200,000: p99", "feed", "unread: p99", 5, "", False, "ms"),
)
