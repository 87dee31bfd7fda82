"""Rows P3 and P6: writers, marks, removals and recounts side by side, and long transactions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest

from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.settings.feed import FeedSettings
from tests.faults.conftest import NewFeedRun
from tests.faults.support.delivery_run import is_frozen, thaw
from tests.faults.support.feed_clients import FeedClients, Seen
from tests.faults.support.feed_run import FeedRun
from tests.support.feed_store import new_item
from tests.support.feeds import drift
from tests.support.wait import until, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.extended]

_CLIENTS, _CALLS = 8, 300
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_IDLE = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
_CHANGE = """
WITH changed AS (UPDATE feed_item SET read_at = now() WHERE user_id = 'u1' RETURNING id)
UPDATE feed_user
SET unread = 0, version = version + 1, changed_at = clock_timestamp()
WHERE user_id = 'u1' AND (SELECT count(*) FROM changed) > 0
RETURNING (extract(epoch FROM changed_at) * 1000)::bigint
"""


def _number(one: FeedRun, query: str) -> int:
    with one.postgres.client() as client:
        found = client.execute(query.encode()).fetchone()
    return int(found[0]) if found else 0


def test_rowp3__eight_clients_change_the_same_users(feed_run: NewFeedRun) -> None:
    """No call fails, no count is wrong at any time, and no version stands for two states."""
    one = feed_run(users=50)
    clients = FeedClients(one.postgres, one.rng, one.users, Seen(), Counter())
    asyncio.run(clients.run(_CLIENTS, _CALLS))
    assert clients.seen.violations == []
    assert drift(one.postgres) == []
    assert not clients.done["away"]
    calls = ", ".join(f"{number} × {what}" for what, number in clients.done.most_common())
    one.figures.append(
        f"{_CLIENTS} clients, {len(one.users)} users: {calls}; {len(clients.seen.states)} versions"
        f" seen, {_number(one, _DEADLOCKS)} deadlocks"
    )


def test_rowp3__eight_clients_while_postgres_dies(feed_run: NewFeedRun) -> None:
    """Whether a call that was not answered took effect or not, the counts are those of the rows."""
    one = feed_run(users=50)
    clients = FeedClients(one.postgres, one.rng, one.users, Seen(), Counter())

    async def scenario() -> None:
        running = asyncio.create_task(clients.run(_CLIENTS, _CALLS))
        for turn in range(1, 4):
            await _until(running, lambda: _answered(clients) >= turn * _CLIENTS * _CALLS // 4)  # noqa: B023
            await asyncio.to_thread(one.postgres.kill)
            await _until(running, lambda: clients.done["away"] >= turn * _CLIENTS)  # noqa: B023
            await asyncio.to_thread(one.postgres.start)
        await running

    asyncio.run(scenario())
    assert clients.seen.violations == []
    assert drift(one.postgres) == []
    one.figures.append(f"Postgres killed 3 times; {clients.done['away']} calls found it away")


async def _until(running: asyncio.Task[None], predicate: Callable[[], bool]) -> None:
    """Wait for a condition, or for the end of the clients."""
    await until(lambda: predicate() or running.done(), "the clients have come so far")


def _answered(clients: FeedClients) -> int:
    return clients.done.total() - clients.done["away"]


def test_rowp3__deadlock_is_answered_by_another_try(feed_run: NewFeedRun) -> None:
    """A foreign transaction locks two users in the other order: ours is ended, and run again."""
    one = feed_run(postgres={"deadlock_timeout": "3s"})
    store = FeedStore.from_settings(FeedSettings(url=one.postgres.url))

    async def scenario() -> None:
        await store.insert([new_item(user) for user in ("u1", "u2")])
        with one.postgres.client(autocommit=False) as foreign:
            # It never looks for a deadlock, so that ours is the one to be ended.
            foreign.execute("SET LOCAL deadlock_timeout = '1h'")
            foreign.execute("SET LOCAL statement_timeout = 0")
            foreign.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            foreign.execute("SELECT FROM feed_user WHERE user_id = 'u2' FOR UPDATE")
            items = [new_item(user) for user in ("u1", "u2")]
            ours = asyncio.create_task(store.insert(items, lock_timeout_ms=None))
            await asyncio.to_thread(wait_until, lambda: _number(one, _WAITING), "ours waits")
            change = "UPDATE feed_user SET version = version + 1 WHERE user_id = 'u1'"
            await asyncio.to_thread(foreign.execute, change)
            foreign.commit()
            assert len((await ours).new) == 2
        await store.close()

    asyncio.run(scenario())
    assert drift(one.postgres) == []
    assert one.counts()["u1"].unread == one.counts()["u2"].unread == 2
    wait_until(lambda: _number(one, _DEADLOCKS), "Postgres counts the deadlock")


def test_rowp3__two_writers_insert_the_same_batch(feed_run: NewFeedRun) -> None:
    """One freezes with a batch, another takes it over, then the first goes on with it."""
    one = feed_run(shards=1)
    first = one.writer("before_insert:stop,after_insert:stop")
    one.publish(range(400))
    wait_until(lambda: is_frozen(first), "it froze with a batch")
    one.writer()
    one.wait_until_written()
    one.assert_exact()
    before = one.counts()
    thaw(first)
    wait_until(lambda: is_frozen(first), "it has inserted the batch, too")
    assert one.counts() == before
    one.assert_exact()
    first.kill()
    one.publish(range(400, 500))
    one.wait_until_written()
    one.assert_exact()


def test_rowp6__transaction_that_ends_behind_the_sweep(feed_run: NewFeedRun) -> None:
    """It changed counts before the sweep passed, and is committed afterwards: they follow."""
    one = feed_run(users=3, shards=1)
    one.writer()
    one.publish(range(30))
    one.wait_until_written()
    one.assert_exact()
    with one.postgres.client(autocommit=False) as client:
        found = client.execute(_CHANGE).fetchone()
        assert found
        # It works all the time, or its time limit would end it.
        wait_until(lambda: client.execute("SELECT 1") and one.swept_ms() > found[0], "swept")
        client.commit()
    assert one.counts()["u1"].unread == 0
    one.assert_exact()


def test_rowp6__transaction_that_idles_is_ended(feed_run: NewFeedRun) -> None:
    """Also that of another program with the same user: nothing of it is there."""
    one = feed_run(users=3, statement_timeout_ms=1000)
    one.writer()
    one.publish(range(30))
    one.wait_until_written()
    before = one.counts()
    with one.postgres.client(autocommit=False) as client:
        client.execute(_CHANGE)
        wait_until(lambda: _number(one, _IDLE) == 0, "it was ended")
        with pytest.raises(psycopg.Error):
            client.commit()
    assert one.counts() == before
    one.publish(range(30, 60))
    one.wait_until_written()
    one.assert_exact()
