"""Retention: old items are deleted, and counts and marks follow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from galaxy_notify.feed import Feed, retention
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.retention import FeedRetention
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_state.deployment import connect
from galaxy_notify.settings import Settings, settings_from
from tests.support.direct_feeds import PLAIN, feed_in, items
from tests.support.feeds import drift, feed_on, marks_differ
from tests.support.postgres import Postgres, running_postgres
from tests.support.servers import Server
from tests.support.wait import until, wait_until


def fill(feed: Feed, postgres: Postgres, old: int, fresh: int) -> None:
    """Publish old items for a few users, and fresh ones."""
    for count in (old, fresh):
        feed.publish_many({"user": f"u{n % 7}", **PLAIN} for n in range(count))
        if count == old:
            with postgres.client() as client:
                client.execute("UPDATE feed_item SET at = at - interval '31 days'")


def count(postgres: Postgres) -> int:
    with postgres.client() as client:
        (found,) = client.execute("SELECT count(*) FROM feed_item").fetchone() or (0,)
    return int(found)


def settings_of(server: Server, postgres: Postgres, **feed: Any) -> Settings:
    return settings_from({"redis": {"url": server.url}, "feed": {"url": postgres.url, **feed}})


def test_writer__deletes_what_is_too_old(server: Server, feed_database: Postgres) -> None:
    """The process of the feed does it, in statements of 500; the fresh stay, counted exactly."""
    connect(settings_of(server, feed_database), join=True).close()
    with Feed.from_url(feed_database.url, redis=server.url) as feed:
        fill(feed, feed_database, 1700, 21)
        feed.mark_read("u0", all=True)
        with feed_on(server, feed_database, feed__retention_days=30) as process:
            wait_until(lambda: count(feed_database) == 21, "the old ones are deleted")
            process.wait_for("feed items deleted")
            (line,) = process.lines("feed items deleted")
            assert (line["count"], line["days"]) == (1700, 30)
            process.end()
        assert feed.counts("u0").unread == 0
        assert feed.counts("u1").unread == len(items(feed, "u1")) == 3
    with server.client() as client:
        assert marks_differ(client, feed_database) == []
    assert drift(feed_database) == []


def test_retention__of_none_keeps_everything(server: Server, feed_database: Postgres) -> None:
    """Without a limit the run ends at once, and nothing is asked."""
    asyncio.run(_run_until(server, feed_database, 0, None))


def test_outage__delays_a_pass(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres that goes away in a pass is waited for; then the rest is deleted, once."""
    monkeypatch.setattr(retention, "_AGAIN_S", 0.01)
    monkeypatch.setattr(retention, "_PAUSE_S", 0.01)
    with running_postgres() as postgres, feed_in(postgres, server.url) as feed:
        fill(feed, postgres, 1500, 10)

        async def kill_and_start() -> None:
            await until(lambda: count(postgres) < 1510, "a statement is done")
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
            await until(lambda: count(postgres) == 10, "the rest is deleted")

        asyncio.run(_run_until(server, postgres, 30, kill_and_start))
        assert feed.counts("u1").unread == len(items(feed, "u1"))
        assert drift(postgres) == []


async def _run_until(server: Server, postgres: Postgres, days: int, then: Any) -> None:
    """Run the retention until the scenario has ended."""
    settings = settings_of(server, postgres, retention_days=days)
    store, stop = FeedStore.from_settings(settings.feed), StopFlag()
    deployment = connect(settings, join=True)
    async with open_async(settings) as client:
        marks = Marks(client, deployment.key_space)
        outage = PostgresOutage(stop, store.ready)
        running = asyncio.create_task(FeedRetention(store, marks, outage, stop, days).run())
        if then is not None:
            await then()
            stop.set()
        await running
    deployment.close()
    await store.close()
