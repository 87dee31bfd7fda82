"""Counts that Redis did not take, or has lost, come back from Postgres by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio

from galaxy_notify.feed import sweep as module
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.sweep import CountsSweep
from galaxy_notify.feed_store.migrations import migrate
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts, NewItem
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_state.count_sweeps import CountSweeps, Swept
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings.feed import FeedSettings
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import until

KEY_SPACE = KeySpace("gn", SharedSettings(shards=2))
KEYS = KEY_SPACE.keys(0)
USERS = [f"u{number}" for number in range(7)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep all the time, in pages of a few users."""
    monkeypatch.setattr(module, "PERIOD_S", 0.02)
    monkeypatch.setattr(module, "_SETTLING_MS", 0)
    monkeypatch.setattr(module, "_CHANGED", 3)
    monkeypatch.setattr(module, "_ALL", 3)


class Place:
    """A feed in Postgres, and the marks of it in Redis."""

    def __init__(self, client: redis.asyncio.Redis, settings: FeedSettings) -> None:
        self.client = client
        self.store = FeedStore.from_settings(settings)
        self.marks = Marks(client, KEY_SPACE)
        self._settings = settings
        self._number = 0

    async def insert(self, *users: str) -> None:
        """Insert an item for each user; publish nothing, as one who dies behind the COMMIT."""
        self._number += 1
        name = f"{self._number:032x}"
        await self.store.insert(
            [NewItem(user, name, "t", "p", "info", "", "", b"\x80", 1) for user in users]
        )

    async def is_equal(self) -> bool:
        """Return whether the marks of all users are what Postgres has."""
        return all([await self.marks.read(u) == await self.store.counts(u) for u in USERS])

    def sweeps(self, name: str) -> CountSweeps:
        return CountSweeps(self.client, KEYS, name)

    @asynccontextmanager
    async def sweeping(self, name: str = "w-1") -> AsyncIterator[None]:
        """Sweep while the block runs."""
        stop = StopFlag()
        outage = PostgresOutage(stop, self.store.ready)
        sweep = CountsSweep(
            self.store,
            self.marks,
            self.sweeps(name),
            outage,
            stop,
            self._settings.statement_timeout_ms,
        )
        running = asyncio.create_task(sweep.run())
        try:
            yield
        finally:
            stop.set()
            await running


Scenario = Callable[[Place], Awaitable[None]]


def _run(server: Server, postgres: Postgres, scenario: Scenario) -> None:
    async def body() -> None:
        settings = FeedSettings(url=postgres.url)
        await migrate(settings)
        async with redis.asyncio.Redis.from_url(server.url) as client:
            place = Place(client, settings)
            try:
                await scenario(place)
            finally:
                await place.store.close()

    asyncio.run(body())


def test_sweep__publishes_what_a_dead_process_did_not(
    any_server: Server, postgres: Postgres
) -> None:
    """The rows were committed and nothing told of them."""

    async def scenario(place: Place) -> None:
        await place.insert(*USERS)
        async with place.sweeping():
            await until(place.is_equal, "all marks are there")
            await place.insert(*USERS[:4])
            await until(place.is_equal, "what changed since is there too")

    _run(any_server, postgres, scenario)


def test_sweep__goes_on_where_the_last_one_ended(any_server: Server, postgres: Postgres) -> None:
    """What changed while nobody swept is found, however long ago that was."""

    async def scenario(place: Place) -> None:
        async with place.sweeping():
            await until(lambda: _swept_all(place), "all users were looked at")
        await place.insert(*USERS)
        async with place.sweeping("w-2"):
            await until(place.is_equal, "all marks are there")

    _run(any_server, postgres, scenario)


def test_sweep__waits_while_redis_refuses(any_server: Server, postgres: Postgres) -> None:
    """Counts that were refused are published when there is room, and nothing is passed over."""

    async def scenario(place: Place) -> None:
        async with place.sweeping():
            await until(lambda: _swept_all(place), "all users were looked at")
            swept = await place.sweeps("").read()
            await place.client.config_set("maxmemory", "1")
            try:
                await place.insert(*USERS)
                await place.marks.publish({"u1": await place.store.counts("u1")})
                assert await place.marks.read("u1") is None
            finally:
                await place.client.config_set("maxmemory", "0")
            await until(place.is_equal, "all marks are there")
            assert (await place.sweeps("").read()).changes_ms >= swept.changes_ms

    _run(any_server, postgres, scenario)


def test_sweep__makes_lost_marks_again(any_server: Server, postgres: Postgres) -> None:
    """After FLUSHALL Redis does not know how far the sweep has come: all users are looked at."""

    async def scenario(place: Place) -> None:
        await place.insert(*USERS)
        async with place.sweeping():
            await until(place.is_equal, "all marks are there")
            await until(lambda: _swept_all(place), "all users were looked at")
            await place.client.flushall()
            await until(place.is_equal, "all marks are there again")

    _run(any_server, postgres, scenario)


def test_sweep__gives_restored_counts_to_all(any_server: Server, postgres: Postgres) -> None:
    """Another epoch is another truth, also for users of whom the backup knows nothing."""

    async def scenario(place: Place) -> None:
        await place.insert(*USERS)
        lost = (await place.store.counts(USERS[0]))._replace(unread=3)
        await place.marks.publish({"later": lost})
        async with place.sweeping():
            await until(place.is_equal, "all marks are there")
            await until(lambda: _swept_all(place), "all users were looked at")
            with postgres.client() as connection:
                connection.execute("UPDATE feed_user SET changed_at = now() - interval '60 days'")
            epoch = await place.store.restored()
            await until(place.is_equal, "all marks are of the new epoch")
            assert [(await _read(place, user)).epoch for user in USERS] == [epoch] * len(USERS)
            await until(lambda: _is_zero(place, "later"), "of the other one nothing is unread")

    _run(any_server, postgres, scenario)


def test_sweep__with_another_clock_looks_at_all(any_server: Server, postgres: Postgres) -> None:
    """Where the last sweep lies in the future, nothing would seem to have changed since."""

    async def scenario(place: Place) -> None:
        await place.insert(*USERS)
        with postgres.client() as connection:
            connection.execute("UPDATE feed_user SET changed_at = now() - interval '1 hour'")
        epoch, now_ms = await place.store.epoch(), await place.store.now_ms()
        await place.sweeps("").write(Swept(now_ms + 3_600_000, now_ms + 3_600_000, epoch))
        async with place.sweeping():
            await until(place.is_equal, "all marks are there")

    _run(any_server, postgres, scenario)


def test_sweep__is_made_by_one_process(any_server: Server, postgres: Postgres) -> None:
    """The other one takes over when the first one ends, or lets its lease expire."""

    async def scenario(place: Place) -> None:
        first, second = place.sweeps("w-1"), place.sweeps("w-2")
        assert [await first.lease(), await second.lease(), await first.lease()] == [1, 0, 1]
        await second.end_lease()
        assert not await second.lease()
        await first.end_lease()
        assert await second.lease()
        await place.client.pexpire(KEYS.sweeper, 1)
        await until(first.lease, "the lease has expired")

    _run(any_server, postgres, scenario)


@pytest.mark.parametrize("hostile", ["foreign", "endless", "far"])
def test_sweep__is_not_held_up_by_strange_keys(
    any_server: Server, postgres: Postgres, hostile: str
) -> None:
    """Keys of another type, and a lease that never expires, are replaced."""

    async def scenario(place: Place) -> None:
        client: Any = place.client
        if hostile == "foreign":
            await client.rpush(KEYS.sweeper, "x")
            await client.set(KEYS.swept, "x")
        else:
            await client.set(KEYS.sweeper, "w-9", px=10**9 if hostile == "far" else None)
            await client.hset(KEYS.swept, mapping={"changes_ms": "x", "epoch": "9" * 30})
        await place.insert(*USERS)
        async with place.sweeping():
            await until(place.is_equal, "all marks are there")

    _run(any_server, postgres, scenario)


def test_sweep__is_not_ended_by_strange_marks(any_server: Server, postgres: Postgres) -> None:
    """Names that Postgres cannot store, and the mark of nobody, stop no other mark."""

    async def scenario(place: Place) -> None:
        await place.insert(*USERS)
        for name in (b"a\x00b", b"\xff", b"", b"x" * 5000):
            old: Any = {"unread": 1, "unseen": 1, "version": 1, "epoch": 1}
            await place.client.hset(KEYS.unread("").encode() + name, mapping=old)
        epoch = await place.store.epoch()

        async def is_renewed() -> bool:
            return (await place.sweeps("").read()).epoch == epoch

        async with place.sweeping():
            await until(is_renewed, "all marks were looked at")
            await until(place.is_equal, "all marks are there")

    _run(any_server, postgres, scenario)


async def _swept_all(place: Place) -> bool:
    return bool((await place.sweeps("").read()).all_ms)


async def _is_zero(place: Place, user: str) -> bool:
    return (await _read(place, user))[:2] == (0, 0)


async def _read(place: Place, user: str) -> Counts:
    found = await place.marks.read(user)
    assert found is not None
    return found
