"""Direct publish while Redis is away: complete in Postgres, and no call waits again and again."""

from __future__ import annotations

import asyncio

import pytest

from galaxy_notify.errors import Unavailable
from galaxy_notify.feed import AsyncFeed
from galaxy_notify.feed.announcer import Announcer, News
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_inspect.recent import read_recent
from galaxy_notify.redis_state.deployment import Deployment, connect
from galaxy_notify.settings import settings_from
from tests.support.background import NOWHERE, events
from tests.support.deployment import Deploy
from tests.support.direct_feeds import PLAIN, feed_in, items, migrated
from tests.support.postgres import Postgres
from tests.support.proxy import proxied
from tests.support.servers import Server, main_server, running
from tests.support.telemetry import Lines
from tests.support.wait import until, wait_until

NEWS = News({"u1": Counts(1, 1, 1, 1)})


def test_publish__is_complete_without_redis(postgres: Postgres) -> None:
    """F-01, F-15, F-22: rows, counts and marks do not need Redis at all."""
    with feed_in(postgres, NOWHERE) as feed:
        receipts = feed.publish_many({"user": f"u{n % 3}", **PLAIN} for n in range(30))
        assert all(one.is_new for one in receipts)
        assert feed.publish("u1", **PLAIN).is_new
        assert len(items(feed, "u1")) == 11
        assert feed.mark_read("u1", all=True).unread == 0
        with pytest.raises(Unavailable, match="retracted in the feed, not in the streams"):
            feed.retract(receipts[0].notification_id or "")
        assert len(items(feed, "u0")) == 9


def test_outage__costs_one_attempt(lines: Lines) -> None:
    """F-21: after a fault nothing is sent until Redis answers again; then it is announced."""

    async def scenario(server: Server) -> None:
        settings = settings_from({"redis": {"url": server.url}})
        connect(settings, join=True).close()
        announcer = Announcer(settings)
        assert await announcer.announce(NEWS) is None
        server.pause()
        fault = await announcer.announce(NEWS)
        assert fault is not None
        # The same object: no other attempt was made.
        assert all([await announcer.announce(NEWS) is fault for _ in range(100)])
        server.resume()

        async def is_announced() -> bool:
            return await announcer.announce(NEWS) is None

        await until(is_announced, "it announces again")
        await announcer.close()

    with running(main_server()) as server:
        asyncio.run(scenario(server))
    assert events(lines).count("redis available again") == 1


def test_outage__ends_with_live_events(postgres: Postgres, server: Server, deploy: Deploy) -> None:
    """What is published after the outage reaches the streams again."""
    deployment = deploy(server)
    here = Deployment(deployment.client, deployment.key_space)
    with proxied(server.socket) as proxy, feed_in(postgres, proxy.url) as feed:
        feed.publish("u1", **PLAIN, title="before")
        with proxy.down():
            feed.publish("u1", **PLAIN, title="during")

        def is_live() -> bool:
            name = feed.publish("u1", **PLAIN).notification_id
            last = read_recent(here, "u1", 1).entries[-1].event
            return last is not None and last.notification_id == name

        wait_until(is_live, "live again")
        titles = [getattr(one.event, "title", "") for one in read_recent(here, "u1", 100).entries]
        assert titles[0] == "before"
        assert "during" not in titles
        assert "during" in [item.title for item in items(feed, "u1")]


def test_deployment__is_never_founded(postgres: Postgres, server: Server) -> None:
    """A Redis without a deployment is as one that is away, and stays empty."""

    url = migrated(postgres)

    async def scenario() -> None:
        async with AsyncFeed.from_url(url, redis=server.url) as feed:
            assert (await feed.publish("u1", **PLAIN)).is_new

    asyncio.run(scenario())
    with server.client() as client:
        assert client.dbsize() == 0


def test_deployment__of_another_version_is_as_one_that_is_away(
    postgres: Postgres, server: Server, deploy: Deploy
) -> None:
    """What is committed in Postgres is no failure because of what Redis holds."""
    deployment = deploy(server)
    deployment.client.hset(deployment.key_space.keys(0).meta, "format", "999")
    with feed_in(postgres, server.url) as feed:
        receipt = feed.publish("u1", **PLAIN)
        assert receipt.is_new
        assert feed.mark_read("u1", all=True).unread == 0
        with pytest.raises(Unavailable, match="retracted in the feed, not in the streams"):
            feed.retract(receipt.notification_id or "")


def test_deployment__is_found_again_where_redis_has_lost_it(
    postgres: Postgres, server: Server
) -> None:
    """After a restart without data the feed writes to the deployment that a daemon founds."""
    url = migrated(postgres)
    settings = settings_from({"redis": {"url": server.url}})
    connect(settings, join=True).close()

    async def scenario() -> None:
        async with AsyncFeed.from_url(url, redis=server.url) as feed:
            await feed.publish("u1", **PLAIN)
            server.flush()
            other = settings_from({"redis": {"url": server.url}, "worker": {"shards": 7}})
            connect(other, join=True).close()
            with server.client() as client:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal")
            await feed.publish("u1", **PLAIN)
            deployment = connect(other)
            key = deployment.key_space.keys_of_user("u1").unread("u1")

            async def is_marked() -> bool:
                await feed.publish("u1", **PLAIN)
                return bool(deployment.client.exists(key))

            await until(is_marked, "the mark is where the new deployment has it")
            deployment.close()

    asyncio.run(scenario())
