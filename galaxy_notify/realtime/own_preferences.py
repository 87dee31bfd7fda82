"""The preferences of users as a gateway reads and changes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager

import redis.asyncio

from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.realtime.call_problems import CallProblems
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.preferences import UserChange, change_flow, get_flow
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog


class OwnPreferences:
    """Reads and stores preferences over the connections of a gateway."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space
        log = get_logger("realtime")
        edges = EdgeLog(log, "preferences unavailable", "preferences available again")
        self._calls = CallProblems("preferences", edges)

    async def get(self, user: str) -> UserPreferences:
        """Return the preferences of a user; raise `RedisFault`."""
        return await run_flow(self._client, get_flow(self._key_space, user))

    async def change(self, changes: Sequence[UserChange]) -> list[Answer]:
        """Store changes; return an answer for each. Raises `RedisFault`."""
        return await run_flow(self._client, change_flow(self._key_space, changes))

    async def channels(self) -> Collection[str]:
        """Return the channels of the deployment."""
        return self._key_space.shared.channels

    def problems(self) -> AbstractContextManager[None]:
        """Turn faults of Redis into problems; see `CallProblems`."""
        return self._calls.problems()
