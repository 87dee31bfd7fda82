"""Direct publish over a connection that loses replies: each item is in the feed once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from galaxy_notify import BackgroundNotifier
from galaxy_notify.feed import Feed, FeedUnavailable
from galaxy_notify.redis_inspect.recent import read_recent
from galaxy_notify.redis_state.deployment import Deployment
from tests.support.background import drained
from tests.support.deployment import Deploy
from tests.support.direct_feeds import PLAIN, items
from tests.support.feeds import drift
from tests.support.postgres import USER, Postgres
from tests.support.proxy import Proxy, proxied
from tests.support.servers import Server

WORDS = [b"COMMIT", b"INSERT INTO feed_item", b"BEGIN"]


@pytest.fixture
def proxy(feed_database: Postgres) -> Iterator[Proxy]:
    """Put a proxy in front of Postgres."""
    with proxied(feed_database.server.socket) as made:
        yield made


@pytest.fixture
def feed(proxy: Proxy, server: Server, feed_database: Postgres) -> Iterator[Feed]:
    """Give a feed whose connections go through the proxy."""
    url = f"postgresql://{USER}@127.0.0.1:{proxy.port}/{feed_database.database}"
    with Feed.from_url(url, redis=server.url, statement_timeout_ms=3000) as opened:
        yield opened


@pytest.mark.parametrize("words", WORDS)
def test_publish__survives_a_reset(
    feed: Feed, proxy: Proxy, feed_database: Postgres, server: Server, deploy: Deploy, words: bytes
) -> None:
    """The call is repeated: one row, one live event, exact counts, and the receipt says new."""
    deployment = deploy(server)
    feed.publish("u1", **PLAIN)
    for number in range(3):
        proxy.lose_reply_to(words)
        assert feed.publish("u1", **PLAIN, title=str(number)).is_new
    proxy.lose_reply_to(words)
    receipts = feed.publish_many({"user": "u1", **PLAIN, "title": f"m{n}"} for n in range(20))
    assert all(one.is_new for one in receipts)
    assert proxy.lost == 4
    assert len(items(feed, "u1")) == feed.counts("u1").unread == 24
    here = Deployment(deployment.client, deployment.key_space)
    assert read_recent(here, "u1", 100).length == 24
    assert drift(feed_database) == []


def test_publish__of_a_key_is_there_once(
    feed: Feed, proxy: Proxy, feed_database: Postgres, server: Server, deploy: Deploy
) -> None:
    """A repeat may find its own row: a duplicate, which is announced all the same."""
    deployment = deploy(server)
    feed.publish("u1", **PLAIN)
    proxy.lose_reply_to(b"COMMIT")
    assert feed.publish("u1", **PLAIN, idempotency_key="k").status == "duplicate"
    assert feed.publish("u1", **PLAIN, idempotency_key="k").status == "duplicate"
    assert feed.counts("u1").unread == 2
    here = Deployment(deployment.client, deployment.key_space)
    assert read_recent(here, "u1", 100).length == 2
    assert drift(feed_database) == []


def test_publish__after_silence_is_repeated_under_the_id(
    feed: Feed, proxy: Proxy, feed_database: Postgres
) -> None:
    """A reply that never comes is an error with the id; the repeat changes nothing."""
    feed.publish("u1", **PLAIN)
    proxy.lose_reply_to(b"COMMIT", "silence")
    with pytest.raises(FeedUnavailable) as raised:
        feed.publish("u1", **PLAIN)
    name = raised.value.notification_id
    assert name is not None
    assert feed.publish("u1", **PLAIN, notification_id=name).status == "duplicate"
    assert feed.counts("u1").unread == 2
    assert drift(feed_database) == []


def test_queue__publishes_each_once(feed: Feed, proxy: Proxy, feed_database: Postgres) -> None:
    """What a queue sends again, for want of a reply, is in the feed once, and counted once."""
    feed.publish("u2", **PLAIN)
    with BackgroundNotifier(target=feed) as queue:
        proxy.lose_reply_to(b"COMMIT", "silence")
        for number in range(100):
            queue.enqueue({"user": "u1", **PLAIN, "title": str(number)})
        drained(queue)
        stats = queue.stats()
    assert (stats.accepted, stats.duplicates) == (100, 0)
    assert feed.counts("u1").unread == 100
    assert drift(feed_database) == []
