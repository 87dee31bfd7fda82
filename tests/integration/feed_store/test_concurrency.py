"""Many clients at once: no drift, versions that grow, no endless waits for each other."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

import pytest

from galaxy_notify.errors import FeedUnavailable
from galaxy_notify.feed_store.database import Connection
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem
from tests.support.feed_store import FeedFixture, new_id, new_item
from tests.support.lost_commits import losing_commits
from tests.support.postgres import Postgres
from tests.support.suite import examples
from tests.support.wait import until

USERS = [f"u{number:02}" for number in range(50)]
ONE = ("mark_read", "mark_unread", "mark_seen", "archive")
KINDS = (*ONE, "mark_all_read", "mark_all_seen", "archive_all", "retract", "reconcile", "delete")
#: As any change: behind the locks of all users whose items it touches.
_AGE = """
    BEGIN;
    SELECT FROM feed_user ORDER BY user_id FOR UPDATE;
    UPDATE feed_item SET at = at - interval '2 days' WHERE mod(id, 7) = 0;
    COMMIT
"""
_BLOCKED = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


class Clients:
    """Clients of one feed, each with a store of its own, and every count that one was answered."""

    def __init__(self, feed: FeedFixture, seed: int) -> None:
        self._feed = feed
        self._random = random.Random(seed)
        self.names = [new_id() for _ in range(300)]
        self.answered: defaultdict[str, dict[int, Counts]] = defaultdict(dict)
        self.retried = 0

    async def run(self, number: int, steps: int) -> None:
        """Let half of the clients write and the others change what is there."""
        work = [self._write, self._change] * (number // 2)
        await asyncio.gather(*(self._client(one, steps) for one in work))

    async def _client(self, work: Callable[[FeedStore], Awaitable[None]], steps: int) -> None:
        store = FeedStore.from_settings(self._feed.settings)
        try:
            for _ in range(steps):
                await work(store)
        finally:
            await store.close()

    async def _write(self, store: FeedStore) -> None:
        left = [
            new_item(self._random.choice(USERS), self._random.choice(self.names))
            for _ in range(self._random.randint(1, 60))
        ]
        while left:
            done = await store.insert(left)
            self._note(done.counts)
            left = [item for item in left if item.user_id in done.blocked]

    async def _change(self, store: FeedStore) -> None:
        user = self._random.choice(USERS)
        ids = self._random.sample(self.names, 20)
        kind = self._random.choice(KINDS)
        if kind == "retract":
            users = self._random.choice([None, self._random.sample(USERS, 20)])
            self._note((await store.retract(ids[0], users)).counts)
        elif kind == "reconcile":
            assert [drift async for drift in store.reconcile(fix=True)] == []
        elif kind == "delete":
            async for deleted in store.delete_older_than(1):
                self._note(deleted.counts)
        elif kind in ONE:
            self._note({user: await getattr(store, kind)(user, ids)})
        else:
            self._note({user: await getattr(store, kind)(user, None)})

    def _note(self, counts: Mapping[str, Counts]) -> None:
        """Keep counts; the same version never stands for other counts."""
        for user, found in counts.items():
            known = self.answered[user].setdefault(found.version, found)
            assert known == found


@pytest.mark.parametrize("seed", [1, 2])
def test_clients__of_the_same_users(feed: FeedFixture, seed: int) -> None:
    """Eight clients write and mark for fifty users: no drift, and one count for each version."""
    clients = Clients(feed, seed)
    feed.run(clients.run(8, examples(40, 300)))
    feed.check()
    for user, versions in clients.answered.items():
        assert feed.counts(user).version >= max(versions)
    assert _deadlocks(feed) == 0


def test_clients__of_old_items(feed: FeedFixture) -> None:
    """The same while items become old and are deleted, and users are forgotten."""
    clients = Clients(feed, 3)

    async def beside() -> None:
        store = FeedStore.from_settings(feed.settings)
        running = asyncio.create_task(clients.run(6, examples(20, 100)))
        try:
            while not running.done():
                await asyncio.to_thread(feed.change, _AGE)
                async for _ in store.delete_older_than(1):
                    pass
                await store.forget(USERS[0])
            await running
        finally:
            await store.close()

    feed.run(beside())
    feed.check()


def _deadlocks(feed: FeedFixture) -> int:
    ((number,),) = feed.query(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(number)


def test_deadlock__is_run_again(feed: FeedFixture) -> None:
    """A transaction that Postgres ends for a deadlock is repeated, and its caller sees nothing."""
    feed.insert(new_item("u1"), new_item("u2"))
    runs: list[int] = []
    lock = "SELECT FROM feed_user WHERE user_id = %s FOR UPDATE"

    async def crossing() -> None:
        met = asyncio.Barrier(2)

        def crossed(first: str, second: str) -> Callable[[Connection], Awaitable[None]]:
            async def work(connection: Connection) -> None:
                runs.append(1)
                await connection.execute(lock, [first])
                if len(runs) <= 2:
                    await met.wait()
                await connection.execute(lock, [second])

            return work

        run = feed.store._database.run
        await asyncio.gather(run(crossed("u1", "u2")), run(crossed("u2", "u1")))

    feed.run(crossing())
    assert len(runs) > 2


@pytest.mark.parametrize("lost", ["before", "after"])
def test_commit__whose_reply_is_lost(postgres: Postgres, feed: FeedFixture, lost: str) -> None:
    """The outcome is unknown; the repeat leaves the rows there once, and the counts exact."""
    items = [new_item(f"u{number}") for number in range(20)]
    with losing_commits() as losing:
        losing.loses = lost
        with pytest.raises(FeedUnavailable) as caught:
            feed.insert(*items)
        assert caught.value.code == "connection"
        done = feed.insert(*items)
    assert len(done.new) == (20 if lost == "before" else 0)
    # Also where nothing is new: the caller never learned of the counts.
    assert done.counts.keys() == {item.user_id for item in items}
    assert {counts.unread for counts in done.counts.values()} == {1}
    feed.check()


def test_writers__of_one_batch(feed: FeedFixture) -> None:
    """Of two writers that insert the same batch, each item is new to one."""
    items: list[NewItem] = [new_item(user, name) for user in USERS for name in ("a", "b", "c")]

    async def both() -> list[frozenset[tuple[str, str]]]:
        stores = [FeedStore.from_settings(feed.settings) for _ in range(4)]
        try:
            done = await asyncio.gather(
                *(store.insert(random.sample(items, len(items))) for store in stores)
            )
            return [one.new for one in done]
        finally:
            await asyncio.gather(*(store.close() for store in stores))

    found = feed.run(both())
    assert sum(map(len, found)) == len(frozenset[tuple[str, str]]().union(*found)) == len(items)
    feed.check()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_isolation__that_a_database_was_given(feed: FeedFixture, level: str) -> None:
    """It is not that of our transactions: they would fail one another instead of waiting."""
    name = feed.query("SELECT current_database()")[0][0]
    feed.change(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")

    async def many() -> None:
        for _ in range(5):
            items = [new_item("u1") for _ in range(8)]
            # Each waits for its lock, however long the one before it holds that.
            await asyncio.gather(
                *(feed.store.insert([item], lock_timeout_ms=None) for item in items)
            )

    feed.run(many())
    assert feed.unread() == (40, 40)


def test_list__only_grows_at_its_top(feed: FeedFixture) -> None:
    """An item that is committed later is not found below one that was listed."""

    async def ordered() -> None:
        feed_item = new_item("u1")
        with feed.postgres.client(autocommit=False) as holder, feed.postgres.client() as watcher:
            holder.execute("SELECT FROM feed_user WHERE user_id = 'u1' FOR UPDATE")
            late = asyncio.create_task(feed.store.insert([feed_item], lock_timeout_ms=None))
            await until(lambda: watcher.execute(_BLOCKED).fetchone() == (1,), "the insert waits")
            holder.execute("UPDATE feed_item SET at = clock_timestamp() WHERE user_id = 'u1'")
            holder.commit()
            await late
        assert feed.ids("u1")[0] == feed_item.notification_id

    feed.fill("u1", 1)
    feed.run(ordered())
