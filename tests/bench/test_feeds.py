"""What the workloads of the feed measure: rows and counts that agree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.bench.feeds.full import BIG, SHARE, fill
from tests.bench.feeds.reader import READS, Took, read
from tests.bench.feeds.server import check_rows, rows
from tests.bench.feeds.ways import BATCH, COUNTED, batch, opened_store, opened_ways
from tests.support.feed_store import FeedFixture, feed_on
from tests.support.postgres import Postgres


@pytest.fixture
def feed(postgres: Postgres) -> Iterator[FeedFixture]:
    """A store on an empty database."""
    with feed_on(postgres) as made:
        yield made


def test_fill__is_counted_as_the_feed_counts(feed: FeedFixture) -> None:
    """A feed that SQL has filled has no drift, its indexes, and a user with a large share."""
    with feed.postgres.client() as client:
        count = b"SELECT count(*) FROM pg_indexes WHERE tablename = 'feed_item'"
        before = client.execute(count).fetchall()
        fill(feed.postgres, 300)
        assert client.execute(count).fetchall() == before
    assert feed.rows(BIG) == 300 // SHARE
    assert feed.unread(BIG)[0] == 300 // SHARE * 2 // 3
    assert asyncio.run(_times(feed.postgres)).keys() == READS.keys()


async def _times(postgres: Postgres) -> Took:
    async with opened_store(postgres) as store:
        return await read(store, [BIG], 1)


def test_ways__write_the_same_rows(feed: FeedFixture) -> None:
    """Each way writes a batch; only the feed's counts it."""

    async def write() -> None:
        async with opened_ways(feed.postgres) as ways:
            await ways[COUNTED](batch())
            check_rows(feed.postgres, BATCH)
            for way in ways.values():
                await way(batch())

    asyncio.run(write())
    with feed.postgres.client() as client:
        assert rows(client) == 4 * BATCH
    with pytest.raises(RuntimeError, match="instead of"):
        check_rows(feed.postgres, 4 * BATCH)
