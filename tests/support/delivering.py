"""Gateways for tests: their consuming half, and instances whose inboxes a test reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis
import redis.asyncio

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.live_event import LiveEvent, unpack_live_event
from galaxy_notify.realtime.consuming import EventDelivery
from galaxy_notify.redis_client.runner import run
from galaxy_notify.redis_state.gateways import REALTIME_GROUP
from galaxy_notify.redis_state.inbox import Inbox, Telling
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import presence_attend
from galaxy_notify.settings import Settings, settings_from
from tests.support import events

_FAR_MS = 3_600_000


def settings_of(url: str, **realtime: Any) -> Settings:
    """Return settings of a gateway."""
    return settings_from({"redis": {"url": url}, "realtime": realtime})


@asynccontextmanager
async def delivering(
    settings: Settings | str, instance: str = "gw-1"
) -> AsyncIterator[EventDelivery]:
    """Run the consuming half of a gateway while the block runs; raise what broke it."""
    given = settings_of(settings) if isinstance(settings, str) else settings
    delivery = EventDelivery(given, instance)
    running = asyncio.ensure_future(delivery.run())
    try:
        yield delivery
    finally:
        delivery.stop()
        await running


class Told:
    """An instance that holds connections of users; it reads what it is told when asked."""

    def __init__(self, client: redis.asyncio.Redis, instance: str) -> None:
        self.client = client
        self.instance = instance
        self.inbox = Inbox(client, "gn", instance)

    async def attend(self, *users: str, keys: Keys = events.KEYS) -> None:
        """Make the inbox, and note the users as present."""
        await self.inbox.renew()
        await run(self.client, presence_attend(keys, self.instance, users, _FAR_MS))

    async def tellings(self, count: int) -> list[Telling]:
        """Return the next tellings, at least so many."""
        found: list[Telling] = []
        while len(found) < count:
            page = await self.inbox.read(50, 256)
            assert page.unread == 0
            found += [entry for entry in page.entries if isinstance(entry, Telling)]
        return found

    async def places(self, count: int) -> set[tuple[str, Cursor]]:
        """Return the users and places of the next events, so many of them.

        One may be told twice: by two members, and where an answer was lost.
        """
        found: set[tuple[str, Cursor]] = set()
        while len(found) < count:
            found |= {(one.user, one.cursor) for one in await self.tellings(1)}
        return found


def pending(client: redis.Redis, keys: Keys = events.KEYS) -> int:
    """Return how many entries the gateways have not acknowledged; -1 without a group."""
    return events.pending(client, REALTIME_GROUP, keys)


def deliveries(client: redis.Redis) -> set[int]:
    """Return how often entries were delivered that are not acknowledged."""
    rows: Any = client.xpending_range(events.KEYS.stream, REALTIME_GROUP, "-", "+", 1000)
    return {row["times_delivered"] for row in rows}


def offsets(client: redis.Redis, user: str, keys: Keys = events.KEYS) -> list[tuple[int, int]]:
    """Return the offset and the number of each event in the recent list of a user."""
    rows: Any = client.lrange(keys.recent(user), 0, -1)
    return [_numbered(stored) for stored in rows[1::2]]


def _numbered(stored: bytes) -> tuple[int, int]:
    place, _, packed = stored.partition(b" ")
    event = unpack_live_event(packed)
    assert isinstance(event, LiveEvent)
    return int(place.split(b".")[1]), event.data["number"]


def publish_to(client: redis.Redis, numbers: Iterable[int], users: Sequence[str]) -> None:
    """Add an event of each number, in turn to each of the users, in one go."""
    pipeline = client.pipeline(transaction=True)
    for place, number in enumerate(numbers):
        user = users[place % len(users)]
        pipeline.xadd(events.KEYS.stream, events.event_fields(number, user))
    pipeline.execute()
