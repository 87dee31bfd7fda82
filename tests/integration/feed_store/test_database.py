"""Connections: outages, refusals, passwords that change, and what is never waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from galaxy_notify.errors import (
    AlreadyClosed,
    FeedUnavailable,
    Misconfigured,
    OtherEventLoop,
)
from galaxy_notify.feed_store.database import Connection
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings import FeedSettings, load_settings
from tests.support.feed_store import FeedFixture, feed_on, new_item
from tests.support.postgres import PASSWORD, Postgres, running_postgres
from tests.support.wait import until

_END_ALL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_ROLE = "ALTER ROLE galaxy"
#: A time-out to wait for, and longer than a machine may stand still in a call before that.
_SOON_MS = 3000


@pytest.fixture
def own_feed() -> Iterator[FeedFixture]:
    """Give a store on a server of this test's own."""
    with running_postgres(asks_password=True) as own, feed_on(own) as made:
        yield made


def test_connections__are_few(feed: FeedFixture) -> None:
    """Many calls at a time share four connections, and all are answered."""

    async def many() -> list[object]:
        return list(await asyncio.gather(*(feed.store.counts(f"u{n}") for n in range(100))))

    assert len(feed.run(many())) == 100
    ((number,),) = feed.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'galaxy-notify'"
    )
    assert 1 <= number <= 4


def test_connections__that_the_server_has_closed(feed: FeedFixture) -> None:
    """Idle connections that were closed meanwhile are not noticed by any call."""
    feed.run(_several(feed))
    feed.query(_END_ALL)
    assert feed.insert(new_item("u1")).counts["u1"].unread == 1
    assert feed.unread("u1") == (1, 1)


async def _several(feed: FeedFixture) -> None:
    await asyncio.gather(*(feed.store.counts(f"u{n}") for n in range(20)))


def test_server__that_goes_away_and_comes_back(own_feed: FeedFixture) -> None:
    """Refused and killed: each call says so; afterwards the next one succeeds."""
    item = new_item("u1")
    own_feed.insert(item)
    own_feed.postgres.kill()
    for _ in range(2):
        with pytest.raises(FeedUnavailable) as caught:
            own_feed.insert(new_item("u1"))
        assert caught.value.code == "connection"
    own_feed.postgres.start()
    assert own_feed.insert(item).new == frozenset()
    assert own_feed.unread("u1") == (1, 1)


def test_server__that_is_frozen(feed: FeedFixture) -> None:
    """A server that does not answer is waited for by the time-out; then it is used again."""
    feed.fill("u1", 1)
    with feed.impatient(_SOON_MS) as store:
        feed.run(store.counts("u1"))
        feed.postgres.pause()
        with pytest.raises(FeedUnavailable) as caught:
            feed.run(store.counts("u1"))
        assert caught.value.code == "timeout"
        feed.postgres.resume()
    assert feed.unread("u1") == (1, 1)


def test_statement__that_takes_too_long(feed: FeedFixture) -> None:
    """The server ends a statement at the time-out; the connection is used again."""

    async def slow(connection: Connection) -> None:
        await connection.execute("SELECT pg_sleep(600)")

    with feed.impatient(_SOON_MS) as store:
        with pytest.raises(FeedUnavailable) as caught:
            feed.run(store._database.run(slow))
        assert caught.value.code == "timeout"
        assert feed.run(store.counts("u1")).unread == 0


def test_lock__that_is_held(feed: FeedFixture) -> None:
    """A change that cannot get its lock ends with the time-out, and has changed nothing."""
    (one,) = feed.fill("u1", 1)
    with feed.postgres.client(autocommit=False) as holder, feed.impatient(_SOON_MS) as store:
        holder.execute("SELECT FROM feed_user FOR UPDATE")
        with pytest.raises(FeedUnavailable) as caught:
            feed.run(store.mark_read("u1", [one]))
        assert caught.value.code == "timeout"
    assert feed.unread("u1") == (1, 1)


def test_server__that_is_read_only(feed: FeedFixture) -> None:
    """Reads go on; a change says that the server takes none, and succeeds when it does."""
    feed.change(
        "ALTER DATABASE " + feed.postgres.database + " SET default_transaction_read_only = on"
    )
    feed.query(_END_ALL)
    assert feed.counts("u1").unread == 0
    with pytest.raises(FeedUnavailable) as caught:
        feed.insert(new_item("u1"))
    assert caught.value.code == "read_only"
    with feed.postgres.server.client() as client:
        client.execute(f"ALTER DATABASE {feed.postgres.database} RESET ALL".encode())
    assert len(feed.insert(new_item("u1")).new) == 1


def test_call__whose_caller_is_cancelled(feed: FeedFixture) -> None:
    """The transaction goes on to its end: nothing in flight is cancelled."""
    feed.fill("u1", 1)

    async def cancelled() -> None:
        with feed.postgres.client(autocommit=False) as holder, feed.postgres.client() as watcher:
            holder.execute("SELECT FROM feed_user FOR UPDATE")
            call = asyncio.create_task(feed.store.insert([new_item("u1")], lock_timeout_ms=None))
            await until(lambda: watcher.execute(_BLOCKED).fetchone() == (1,), "the insert waits")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    feed.run(cancelled())
    feed.run(until(lambda: feed.rows("u1") == 2, "the transaction has ended"))
    assert feed.unread("u1") == (2, 2)


_BLOCKED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def test_password__that_is_changed(own_feed: FeedFixture, tmp_path: Path) -> None:
    """A credential is read at each connect, so a password that was changed is used next."""
    secret = tmp_path / "feed__password"
    secret.write_text(PASSWORD)
    settings = load_settings(
        None,
        environ={
            "CREDENTIALS_DIRECTORY": str(tmp_path),
            "GALAXY_NOTIFY_FEED__URL": own_feed.postgres.tcp_url,
        },
    ).feed

    async def goes_on() -> None:
        store = FeedStore.from_settings(settings)
        try:
            await store.counts("u1")
            own_feed.change(f"{_ROLE} PASSWORD 'another'")
            own_feed.query(_END_ALL)
            with pytest.raises(Misconfigured, match=r"^feed.url, feed.password: .*authentication"):
                await store.counts("u1")
            secret.write_text("another")
            await store.counts("u1")
        finally:
            await store.close()

    asyncio.run(goes_on())


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("postgresql://nobody@{where}", r"feed\.url, feed\.password: .*nobody"),
        ("postgresql://galaxy@{where}", r"feed\.url, feed\.password: .*no password supplied"),
        ("postgresql://galaxy:{secret}@{server}/missing", r"feed\.url: .*\"missing\" does not"),
        ("postgresql://galaxy:{secret}@{where}?sslmode=require", r"feed\.url \(sslmode.*SSL"),
    ],
)
def test_settings__that_are_wrong(own_feed: FeedFixture, url: str, names: str) -> None:
    """One line names the setting to look at, and never the password."""
    address = f"127.0.0.1:{own_feed.postgres.server.port}"
    where = f"{address}/{own_feed.postgres.database}"
    secret = PASSWORD.replace(" ", "%20")
    settings = FeedSettings(url=url.format(where=where, server=address, secret=secret))

    async def ask() -> None:
        await FeedStore.from_settings(settings).counts("u1")

    with pytest.raises(Misconfigured, match=names) as caught:
        asyncio.run(ask())
    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_permission__that_is_missing(feed: FeedFixture) -> None:
    """A user without a right is named with the table."""
    feed.change("DROP ROLE IF EXISTS reader")
    feed.change("CREATE ROLE reader LOGIN")
    url = feed.postgres.url.replace("galaxy@", "reader@")

    async def ask() -> None:
        store = FeedStore.from_settings(FeedSettings(url=url))
        try:
            await store.counts("u1")
        finally:
            await store.close()

    try:
        with pytest.raises(Misconfigured, match=r"feed\.url: .*permission denied .*user reader at"):
            asyncio.run(ask())
    finally:
        feed.change("DROP ROLE reader")


def test_schema__that_is_missing(postgres: Postgres) -> None:
    """A database that was never migrated: the text says what to run."""

    async def ask() -> None:
        store = FeedStore.from_settings(FeedSettings(url=postgres.url))
        try:
            await store.insert([new_item("u1")])
        finally:
            await store.close()

    with pytest.raises(Misconfigured, match="run galaxy-notify feed migrate"):
        asyncio.run(ask())


def test_store__closed(feed: FeedFixture) -> None:
    """A closed store refuses calls; closing it again does nothing."""
    feed.run(feed.store.close())
    feed.run(feed.store.close())
    with pytest.raises(AlreadyClosed):
        feed.counts("u1")


def test_store__in_another_event_loop(feed: FeedFixture) -> None:
    """A store belongs to the loop in which it was first used."""
    feed.counts("u1")

    async def ask() -> None:
        await feed.store.counts("u1")

    with pytest.raises(OtherEventLoop):
        asyncio.run(ask())
