"""The feed behind a PgBouncer in transaction mode, where a session is nobody's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings.feed import FeedSettings
from tests.support.feed_store import new_item
from tests.support.pgbouncer import PgBouncer, needs_pgbouncer, running_pgbouncer
from tests.support.postgres import Postgres

pytestmark = needs_pgbouncer


@pytest.fixture
def bouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    """Give a PgBouncer with two connections to an empty database."""
    with running_pgbouncer(postgres, connections=2) as made:
        yield made


def test_bouncer__shares_its_connections_by_transactions(bouncer: PgBouncer) -> None:
    """More clients than it has connections are served at once, and none has one of its own."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(psycopg.connect(bouncer.url, autocommit=True)) for _ in range(5)
        ]
        pids = {c.execute("SELECT pg_backend_pid()").fetchall()[0][0] for c in clients}
    assert 1 <= len(pids) <= 2


def test_store__migrates_and_inserts_through_it(bouncer: PgBouncer) -> None:
    """What transactions agree on holds, whichever connection each of them is given."""
    settings = FeedSettings(url=bouncer.url)

    async def main() -> None:
        assert await migrate(settings)
        assert not await migrate(settings)
        stores = [FeedStore.from_settings(settings) for _ in range(4)]
        items = [new_item("ada") for _ in range(40)]
        await asyncio.gather(
            *(stores[n % 4].insert([item], lock_timeout_ms=None) for n, item in enumerate(items))
        )
        assert (await stores[0].counts("ada"))[:2] == (40, 40)
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_store__goes_on_after_it_was_started_again(bouncer: PgBouncer) -> None:
    """Connections that it has ended are made again."""
    settings = FeedSettings(url=bouncer.url)

    async def main() -> None:
        await migrate(settings)
        store = FeedStore.from_settings(settings)
        await store.insert([new_item("ada")])
        bouncer.stop()
        with pytest.raises(FeedUnavailable):
            await store.counts("ada")
        bouncer.start()
        await store.insert([new_item("ada")])
        assert (await store.counts("ada")).unread == 2
        await store.close()

    asyncio.run(main())
