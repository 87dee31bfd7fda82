"""Who calls a feed: threads, forks, tasks; and what they get when Postgres is away."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from galaxy_notify.errors import (
    AlreadyClosed,
    ConfigurationError,
    OtherEventLoop,
)
from galaxy_notify.feed import AsyncFeed, Feed, FeedUnavailable
from tests.support.deployment import Deploy, DeploymentFixture
from tests.support.direct_feeds import PLAIN, feed_in, migrated
from tests.support.postgres import Postgres, running_postgres
from tests.support.servers import Server


@pytest.fixture
def deployment(server: Server, deploy: Deploy) -> DeploymentFixture:
    """Give a deployment beside the feed."""
    return deploy(server)


@pytest.fixture
def feed(postgres: Postgres, deployment: DeploymentFixture) -> Iterator[Feed]:
    """Give an open feed in an empty database."""
    with feed_in(postgres, deployment.settings.redis.url) as opened:
        yield opened


def test_threads__share_a_feed(feed: Feed) -> None:
    """Calls of many threads are each answered, and all are counted."""
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(10):
                assert feed.publish("u1", **PLAIN).is_new
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failed == []
    assert feed.counts("u1").unread == 80


def test_fork__gives_the_child_connections_of_its_own(feed: Feed) -> None:
    """Parent and child publish through one object, and neither disturbs the other."""
    feed.publish("u1", **PLAIN)
    if not (child := os.fork()):
        is_new = feed.publish("u1", **PLAIN).is_new
        feed.close()
        os._exit(0 if is_new else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    feed.publish("u1", **PLAIN)
    assert feed.counts("u1").unread == 3


def test_outage__of_postgres_is_repeated_under_the_id(deployment: DeploymentFixture) -> None:
    """The error has the id; the repeat makes one row, whatever became of the first call."""
    with running_postgres() as postgres, feed_in(postgres, deployment.settings.redis.url) as feed:
        feed.publish("u1", **PLAIN)
        postgres.kill()
        with pytest.raises(FeedUnavailable) as raised:
            feed.publish("u1", **PLAIN)
        name = raised.value.notification_id
        many: list[Any] = [{"user": "u1", **PLAIN}, {"user": ""}, {"user": "u2", **PLAIN}]
        with pytest.raises(FeedUnavailable) as all_raised:
            feed.publish_many(many)
        receipts = all_raised.value.receipts
        assert [one and one.status for one in receipts] == [None, "refused", None]
        assert all_raised.value.not_written == ()
        with pytest.raises(FeedUnavailable):
            feed.mark_read("u1", all=True)
        postgres.start()
        assert name is not None
        statuses = [feed.publish("u1", **PLAIN, notification_id=name).status for _ in range(2)]
        assert statuses[1] == "duplicate"
        assert feed.counts("u1").unread == 2


def test_url__is_needed_and_checked(server: Server) -> None:
    """Without a URL there is no feed; a wrong one is one clear error."""
    for url, reason in (("", "feed.url: not set"), ("mysql://x/y", "feed.url: must be postgresql")):
        for kind in (Feed, AsyncFeed):
            with pytest.raises(ConfigurationError, match=reason):
                kind.from_url(url, redis=server.url)


def test_close__refuses_later_calls(postgres: Postgres, server: Server) -> None:
    """Closing twice does nothing; a closed feed is one clear error."""
    feed = Feed.from_url(migrated(postgres), redis=server.url)
    assert feed.counts("u1")[:2] == (0, 0)
    feed.close()
    feed.close()
    with pytest.raises(AlreadyClosed, match="this Feed is closed"):
        feed.counts("u1")


def test_async__completes_what_is_cancelled(postgres: Postgres, server: Server) -> None:
    """A cancelled publish is in the feed once it is closed."""
    url = migrated(postgres)

    async def publish() -> None:
        async with AsyncFeed.from_url(url, redis=server.url) as feed:
            await feed.publish("u1", **PLAIN)
            task = asyncio.create_task(feed.publish("u1", **PLAIN))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(AlreadyClosed):
            await feed.counts("u1")
        async with AsyncFeed.from_url(url, redis=server.url) as feed:
            assert (await feed.counts("u1")).unread == 2

    asyncio.run(publish())


def test_async__belongs_to_one_loop(postgres: Postgres, server: Server) -> None:
    """Another loop is refused by one clear error."""
    feed = AsyncFeed.from_url(migrated(postgres), redis=server.url)

    async def first() -> None:
        await feed.counts("u1")

    async def second() -> None:
        with pytest.raises(OtherEventLoop):
            await feed.counts("u1")

    async def both() -> None:
        await first()
        await asyncio.to_thread(lambda: asyncio.run(second()))
        await feed.close()

    asyncio.run(both())
