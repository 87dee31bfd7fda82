"""A reader of the delivery stream in the process of a test, which decides what time it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import redis

from galaxy_notify.feed.deliveries import DeliveredItems, DeliveriesReader
from galaxy_notify.feed.outage import PostgresOutage
from galaxy_notify.feed.patience import Patience
from galaxy_notify.feed_store.store import FeedStore
from galaxy_notify.model.feed import NewItem
from galaxy_notify.redis_client.async_retries import RetryUntilStopped, StopFlag
from galaxy_notify.redis_client.connection import async_client
from galaxy_notify.redis_client.retries import OutageLog, Stagger
from galaxy_notify.redis_state.deliveries import DeliveriesMember
from galaxy_notify.settings.feed import FeedSettings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from tests.support.deliveries import left
from tests.support.events import KEYS, notification_id
from tests.support.postgres import Postgres
from tests.support.servers import Server
from tests.support.wait import until


class _Telemetry:
    def __init__(self) -> None:
        self.results: dict[str, int] = {}
        self.batches = 0

    def feed_deliveries(self, counts: Mapping[str, int]) -> None:
        self.batches += 1
        for result, count in counts.items():
            self.results[result] = self.results.get(result, 0) + count


class Place:
    """A feed, the delivery stream of a shard, and what the tests decide: time, and being behind."""

    def __init__(self, server: Server, database: Postgres, client: redis.Redis) -> None:
        self.client = client
        self.store = FeedStore.from_settings(FeedSettings(url=database.url))
        self.telemetry = _Telemetry()
        self.now = 0.0
        self.is_behind = False
        self.most = 10_000
        self._server = server

    async def insert(self, *numbers: int) -> None:
        """Insert the items of notifications."""
        await self.store.insert(
            [
                NewItem(f"u{n % 20}", notification_id(n), "t", "p", "info", "", "", b"\x80", 1)
                for n in numbers
            ]
        )

    @asynccontextmanager
    async def reading(self, name: str = "w-1") -> AsyncIterator[None]:
        """Read while the block runs."""
        client, stop = async_client(self._server.url), StopFlag()
        member = DeliveriesMember(client, KEYS, name)
        log = OutageLog(EdgeLog(get_logger("feed")))
        outage = PostgresOutage(stop, self.store.ready)
        reader = DeliveriesReader(
            member,
            DeliveredItems(self.store, outage, cast("Telemetry", self.telemetry)),
            stop,
            RetryUntilStopped(stop, log, Stagger(), member.recover),
            lambda: self.is_behind,
            Patience(lambda: self.now, most=self.most),
        )
        running = asyncio.create_task(reader.run())
        try:
            yield
        finally:
            stop.set()
            await running
            await client.aclose()

    def later(self) -> bool:
        """Let a second pass: what waits may be due."""
        self.now += 1
        return True

    async def ended(self, **results: int) -> None:
        """Wait until nothing is left and so much was counted; time passes."""
        await until(lambda: self.later() and self._results == results, f"it is {results}")
        await until(lambda: left(self.client) == 0, "all are acknowledged")

    @property
    def _results(self) -> dict[str, int]:
        return {name: count for name, count in self.telemetry.results.items() if count}


Scenario = Callable[[Place], Awaitable[None]]


def run_scenario(server: Server, database: Postgres, scenario: Scenario) -> None:
    """Run a scenario on a feed without items, and on a stream that nobody has made yet."""

    async def body() -> None:
        with server.client() as client:
            place = Place(server, database, client)
            try:
                await scenario(place)
            finally:
                await place.store.close()

    asyncio.run(body())
