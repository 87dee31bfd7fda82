"""The subscriptions of users' browsers as a gateway stores them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import redis.asyncio

from galaxy_notify.realtime.call_problems import CallProblems
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

if TYPE_CHECKING:
    from galaxy_notify.channels.push_subscriptions import PushSubscriptions
    from galaxy_notify.contacts.contact import NewContact


class OwnSubscriptions:
    """Stores and removes subscriptions over the connections of a gateway."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space
        log = get_logger("realtime")
        edges = EdgeLog(log, "subscriptions unavailable", "subscriptions available again")
        self._calls = CallProblems("subscriptions", edges)

    async def put(self, stored: PushSubscriptions, user: str, wanted: NewContact) -> str:
        """Store a subscription, and return its id; raise `RedisFault` or `InvalidContact`."""
        flow = stored.put(self._key_space, user, wanted)
        return (await run_flow(self._client, flow)).id

    async def remove(self, stored: PushSubscriptions, user: str, name: str) -> bool:
        """Remove a subscription of a user; return whether it was there. Raises `RedisFault`."""
        return await run_flow(self._client, stored.remove(self._key_space, user, name))

    def problems(self) -> AbstractContextManager[None]:
        """Turn faults of Redis into problems; see `CallProblems`."""
        return self._calls.problems()
