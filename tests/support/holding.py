"""Consumers whose handler waits where a test wants it, and what they read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import redis

from galaxy_notify.gateway import ConsumerOptions, Event, GatewayConsumer
from tests.support.events import KEYS, consuming, consuming_batches, number_of
from tests.support.wait import until

#: Ten entries at a time, and no other consumer takes over what is not released.
TENS = ConsumerOptions(batch=10, batch_max=10, reclaim_idle_s=600, retry_min_s=0.05)
Consuming = Callable[..., AbstractAsyncContextManager[GatewayConsumer]]
BOTH = pytest.mark.parametrize("consume", [consuming, consuming_batches])


class Holding:
    """A handler, of single events or of batches, that waits at one event until it may go on."""

    def __init__(self, number: int, at_event: Callable[[int], object] = bool) -> None:
        """Prepare; *at_event* is called with the number of each event before it is handled."""
        self.number = number
        self.numbers: list[int] = []
        self.deliveries: set[int] = set()
        self.holds = asyncio.Event()
        self.may_go = asyncio.Event()
        self._at_event = at_event

    async def __call__(self, given: Event | list[Event]) -> None:
        """Handle an event, or the events of a batch."""
        for event in given if isinstance(given, list) else [given]:
            number = number_of(event)
            self._at_event(number)
            if number == self.number:
                self.holds.set()
                await self.may_go.wait()
            self.numbers.append(number)
            self.deliveries.add(event.deliveries)


def last_read(client: redis.Redis) -> str:
    """Return the stream id of the last entry that the group was given."""
    groups: Any = client.xinfo_groups(KEYS.stream)
    return str(groups[0]["last-delivered-id"].decode())


def calls(client: redis.Redis, command: str) -> int:
    """Return how often a command was called."""
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def until_read_ahead(client: redis.Redis, handler: Holding, last: str) -> None:
    """Wait until the handler holds, and the group was given this entry."""
    await handler.holds.wait()
    await until(lambda: last_read(client) == last, "the next entries are read ahead")
