"""The counts of a user's feed, as clients of gateways see them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Any

import redis.asyncio

from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.settings.feed import FeedSettings
from tests.support.application import Application
from tests.support.events import notification_id
from tests.support.feeds import feed_on, publish
from tests.support.gateways import KEY_SPACE, gateway_on, gateways_on
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.streams import StreamClient
from tests.support.wait import HANG_S, wait_until
from tests.support.websockets import open_websocket

FIRST, SECOND, RESTORED = Counts(1, 1, 7, 1), Counts(2, 1, 8, 1), Counts(5, 0, 3, 2)


def _publish(server: Server, counts: Mapping[str, Counts]) -> None:
    async def publish() -> None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            assert (await Marks(client, KEY_SPACE).publish(counts)).fault is None

    asyncio.run(publish())


def _mark(server: Server, user: str = "u1") -> Counts | None:
    async def read() -> Counts | None:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            return await Marks(client, KEY_SPACE).read(user)

    return asyncio.run(read())


class Feed:
    """A feed in Postgres, without a writer."""

    def __init__(self, postgres: Postgres) -> None:
        self.settings = FeedSettings(url=postgres.url)
        asyncio.run(migrate(self.settings))

    def insert(self, number: int, user: str = "u1") -> Counts:
        """Insert an item; nothing of it is published."""

        async def insert() -> Counts:
            store = FeedStore.from_settings(self.settings)
            item = NewItem(user, notification_id(number), "t", "p", "info", "", "", b"\x80", 1)
            await store.insert([item])
            found = await store.counts(user)
            await store.close()
            return found

        return asyncio.run(insert())


def test_counts__reach_all_streams_of_a_user(server: Server) -> None:
    """Of each gateway and each kind; the greeting has the newest ones, older ones are not sent."""
    with gateways_on(server, 2) as (one, two):
        with one.open() as stream, two.open() as other, open_websocket(two, "u1") as websocket:
            for client in (stream, other, websocket):
                assert client.expect("hello").data["counts"] is None
            # Those that are older than the ones before them; the next that come are newer again.
            older = {SECOND: FIRST, RESTORED: SECOND}
            for counts in (FIRST, SECOND, RESTORED):
                _publish(server, {"u1": counts, "u2": counts})
                # A gateway may read the newest of several: they come one by one.
                for client in (stream, other, websocket):
                    assert client.expect("counts").data == counts.document()
                if counts in older:
                    _publish(server, dict.fromkeys(("u1", "u2"), older[counts]))
        for gateway in (one, two):
            with gateway.open() as stream:
                assert stream.expect("hello").data["counts"] == RESTORED.document()


def test_counts__that_no_one_was_told_of_are_found(server: Server) -> None:
    """Each renewal of the presence reads the marks, so a lost entry costs time only."""
    with gateway_on(server, realtime__presence_ttl_ms=3000) as gateway, gateway.open() as stream:
        stream.expect("hello")
        with server.client() as client:
            key = KEY_SPACE.keys_of_user("u1").unread("u1")
            client.hset(key, mapping={name: str(n) for name, n in SECOND._asdict().items()})
        assert stream.expect("counts").data == SECOND.document()


def test_event_of_the_feed__comes_with_its_counts(server: Server, postgres: Postgres) -> None:
    """From the gateway stream into Postgres, the mark, and the streams of the user."""
    Feed(postgres)
    with gateway_on(server) as gateway, gateway.open() as stream, feed_on(server, postgres):
        stream.expect("hello")
        with server.client() as client:
            publish(client, [1], users=2)
        frames = [stream.frame(), stream.frame()]
        assert sorted(frame.kind for frame in frames) == ["counts", "notification"]
        found = next(frame.data for frame in frames if frame.kind == "counts")
        assert (found["unread"], found["unseen"]) == (1, 1)
        with postgres.client() as connection:
            (version,) = connection.execute("SELECT version FROM feed_user").fetchall()
        assert version == (found["version"],)


def test_missing_mark__is_made_from_postgres(server: Server, postgres: Postgres) -> None:
    """The greeting waits for nothing; after FLUSHALL the mark comes back while a user is here."""
    feed = Feed(postgres)
    counts = feed.insert(1)
    settings: dict[str, Any] = {"feed__url": postgres.url, "realtime__presence_ttl_ms": 3000}
    with gateway_on(server, **settings) as gateway, gateway.open() as stream:
        _greeted(stream, counts)
        wait_until(lambda: _mark(server) == counts, "the mark is there")
        # In this order: what is made of Postgres before the item is there stays as it is.
        newer = feed.insert(2)
        with server.client() as client:
            client.delete(KEY_SPACE.keys_of_user("u1").unread("u1"))
        assert stream.expect("counts").data == newer.document()
        wait_until(lambda: _mark(server) == newer, "the mark is there again")


def test_missing_mark__of_a_user_without_a_feed_is_zero(server: Server, postgres: Postgres) -> None:
    """A client can show that nothing is unread, which is not the same as not to know."""
    Feed(postgres)
    with gateway_on(server, feed__url=postgres.url) as gateway, gateway.open() as stream:
        hello = stream.expect("hello")
        found = hello.data["counts"] or stream.expect("counts").data
        assert (found["unread"], found["unseen"], found["version"]) == (0, 0, 0)


def test_missing_mark__waits_while_postgres_is_frozen(server: Server, postgres: Postgres) -> None:
    """Streams begin and get their events; the counts follow."""
    feed = Feed(postgres)
    counts = feed.insert(1)
    postgres.pause()
    with gateway_on(server, feed__url=postgres.url) as gateway, gateway.open() as stream:
        assert stream.expect("hello").data["counts"] is None
        postgres.resume()
        assert stream.expect("counts").data == counts.document()


def test_missing_mark__holds_up_no_stop(server: Server, postgres: Postgres) -> None:
    """A gateway leaves a call that gets no reply, however long statements may take."""
    feed = Feed(postgres)
    counts = feed.insert(1)
    settings: dict[str, Any] = {"feed__statement_timeout_ms": 600_000, "realtime__drain_ms": 0}
    with gateway_on(server, feed__url=postgres.url, **settings) as gateway:
        with gateway.open() as stream:
            _greeted(stream, counts)
            postgres.pause()
        with gateway.open("u2") as stream:
            stream.expect("hello")
            gateway.signal(signal.SIGTERM)
            assert gateway.ended() == 0, gateway.log.read_text()


def test_library__has_counts_too(app: Application) -> None:
    """Streams of an application have the counts at their beginning, an event for each change."""

    async def scenario() -> None:
        async with app.streams() as streams, redis.asyncio.Redis.from_url(app.server.url) as client:
            marks = Marks(client, KEY_SPACE)
            await marks.publish({"u1": FIRST})
            async with streams.open("u1", within_s=HANG_S) as stream:
                assert stream.hello.payload["counts"] == FIRST.document()
                await marks.publish({"u1": SECOND})
                event = await anext(stream)
                assert (event.kind, event.payload) == ("counts", SECOND.document())
                assert event.cursor == stream.cursor == stream.hello.cursor

    app.run(scenario)


def _greeted(stream: StreamClient, counts: Counts) -> None:
    """Read the greeting, and the counts with it or behind it."""
    hello = stream.expect("hello")
    assert (hello.data["counts"] or stream.expect("counts").data) == counts.document()
