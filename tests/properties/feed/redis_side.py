"""The Redis beside a feed: its marks, those that sweep them, and what may become of either."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any, cast

import pytest
import redis.asyncio

from galaxy_notify.feed import sweep as sweep_module
from galaxy_notify.feed.marks import Marks
from galaxy_notify.feed.missing_marks import MissingMarks
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.sweep import CountsSweep
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.access import open_async
from galaxy_notify.redis_client.async_retries import StopFlag
from galaxy_notify.redis_state.count_sweeps import CountSweeps
from galaxy_notify.redis_state.shared_settings import KeySpace, SharedSettings
from galaxy_notify.settings import settings_from
from tests.support.broken_trips import BreakingRound, breaking_trips
from tests.support.feed_store import FeedFixture
from tests.support.servers import Server

#: The users lie on the first and on the last: a look at all marks has several pages.
KEY_SPACE = KeySpace("gn", SharedSettings(shards=3))
WRITERS = ("w-1", "w-2")
_DAY_MS = 86_400_000

#: What may stand where a mark should: each of them cannot be read as one.
CORRUPTIONS: Mapping[str, Mapping[str, str] | None] = {
    "foreign": None,
    "half": {"unread": "1", "version": "1"},
    "garbled": {"unread": "1", "unseen": "x", "version": "1", "epoch": "1"},
    "huge": {"unread": "1", "unseen": "1", "version": "9" * 30, "epoch": "1"},
}


class AskedMark:
    """A gateway that makes a missing mark: it has read Postgres, and has not yet written."""

    def __init__(self, store: FeedStore, marks: Marks, user: str) -> None:
        self.user = user
        self._store = store
        self._marks = marks
        self._may_write = asyncio.Event()
        self._has_read = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Read the counts, and stop before they are written."""
        missing = MissingMarks(self._store)
        missing.ask(self.user)
        self._work = asyncio.create_task(missing._make(cast(Marks, self), lambda *_: None))
        await self._has_read.wait()

    async def end(self) -> None:
        """Write, look once more, and write again where that is another."""
        self._may_write.set()
        if self._work is not None:
            await self._work

    async def publish(self, counts: Mapping[str, Counts]) -> Any:
        """Stand for the marks; hold the first of them back."""
        self._has_read.set()
        await self._may_write.wait()
        return await self._marks.publish(counts)


class RedisSide:
    """The marks of a feed on a server of its own database."""

    def __init__(self, server: Server, feed: FeedFixture) -> None:
        self._server = server
        self._feed = feed
        self._admin = server.client()
        self._client = feed.run(_opened(server))
        self.marks = Marks(self._client, KEY_SPACE)

    @property
    def is_well(self) -> bool:
        """Whether it takes what is written, and answers."""
        return BreakingRound.left is None and self._admin.config_get("maxmemory")["maxmemory"] in (
            "0",
            b"0",
        )

    def close(self) -> None:
        """End the outage and the connections."""
        self.mend()
        self._feed.run(self._client.aclose())
        self._admin.close()

    def mend(self) -> None:
        """End every outage."""
        BreakingRound.mend()
        self._admin.config_set("maxmemory", "0")

    def break_after(self, trips: int, *, hears: bool) -> None:
        """Let so many round trips be well, and break all others."""
        BreakingRound.left, BreakingRound.hears = trips, hears

    def refuse(self) -> None:
        """Take no more writes."""
        self._admin.config_set("maxmemory", "1")

    def flush(self) -> None:
        """Lose all data."""
        self._admin.flushall()

    def lose(self, user: str) -> None:
        """Lose a mark."""
        self._admin.delete(_key(user))

    def corrupt(self, user: str, how: str) -> None:
        """Have something else stand where a mark should, if the server takes it."""
        self.lose(user)
        fields: Any = CORRUPTIONS[how]
        try:
            if fields is None:
                self._admin.set(_key(user), "foreign")
            else:
                self._admin.hset(_key(user), mapping=fields)
        except redis.OutOfMemoryError:
            return

    def mark(self, user: str) -> Counts | None:
        """Return the counts of a mark, whatever outage there is."""
        left, BreakingRound.left = BreakingRound.left, None
        try:
            return self._feed.run(self.marks.read(user))
        finally:
            BreakingRound.left = left

    def publish(self, counts: Mapping[str, Counts]) -> None:
        """Write marks, as far as Redis takes them."""
        self._feed.run(self.marks.publish(counts))

    def ask(self, user: str) -> AskedMark:
        """Begin to make the mark of a user."""
        asked = AskedMark(self._feed.store, self.marks, user)
        self._feed.run(asked.begin())
        return asked

    def sweeper(self, name: str) -> Sweeper:
        """Return what sweeps in a writer."""
        return self._feed.run(_sweeper(self._feed.store, self.marks, name))

    def sweep(self, sweeper: Sweeper, until: float = inf) -> None:
        """Make a turn of the sweep; with a page, until a time of the past."""
        self._feed.run(sweeper.turn(until))

    def let_a_day_pass(self) -> None:
        """Have all users be due to be looked at."""
        self._feed.run(_day_before(CountSweeps(self._client, KEY_SPACE.keys(0), "")))


class Sweeper:
    """The sweep of a writer, which is made in turns."""

    def __init__(self, store: FeedStore, marks: Marks, name: str) -> None:
        stop = StopFlag()
        outage = PostgresOutage(stop, store.ready)
        sweeps = CountSweeps(marks.client, KEY_SPACE.keys(0), name)
        # No statement of the test lasts: nothing that is committed late has to be looked for.
        self._sweep = CountsSweep(store, marks, sweeps, outage, stop, statement_timeout_ms=0)

    async def turn(self, until: float) -> None:
        """Make a turn."""
        await self._sweep._turn(until)


async def _sweeper(store: FeedStore, marks: Marks, name: str) -> Sweeper:
    return Sweeper(store, marks, name)


async def _opened(server: Server) -> redis.asyncio.Redis:
    return open_async(settings_from({"redis": {"url": server.url}}), connections=4, name="test")


async def _day_before(sweeps: CountSweeps) -> None:
    swept = await sweeps.read()
    await sweeps.write(swept._replace(all_ms=swept.changes_ms - _DAY_MS))


def _key(user: str) -> str:
    return KEY_SPACE.keys_of_user(user).unread(user)


@contextmanager
def redis_beside(server: Server, feed: FeedFixture) -> Iterator[RedisSide]:
    """Give the Redis of a feed; it is swept in small pages, without pauses."""
    with pytest.MonkeyPatch.context() as patch, breaking_trips():
        for name, value in {"_SETTLING_MS": 0, "_PAUSE_S": 0.0, "_CHANGED": 2, "_ALL": 2}.items():
            patch.setattr(sweep_module, name, value)
        made = RedisSide(server, feed)
        try:
            yield made
        finally:
            made.close()
