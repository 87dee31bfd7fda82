"""The preferences of users as a gateway reads and changes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import redis.asyncio

from galaxy_notify.errors import CallFailed, Misconfigured, ServerRefused
from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.realtime.connection import retry_ms
from galaxy_notify.redis_client.failed_calls import failed_call
from galaxy_notify.redis_client.faults import BUSY, RedisFault
from galaxy_notify.redis_client.flows import run_flow
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.preferences import UserChange, change_flow, get_flow
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.web.problems import Problem, retry_after


class OwnPreferences:
    """Reads and stores preferences over the connections of a gateway."""

    def __init__(self, client: redis.asyncio.Redis, key_space: KeySpace) -> None:
        self._client = client
        self._key_space = key_space
        self._edges = EdgeLog(
            get_logger("realtime"), "preferences unavailable", "preferences available again"
        )

    async def get(self, user: str) -> UserPreferences:
        """Return the preferences of a user; raise `RedisFault`."""
        return await run_flow(self._client, get_flow(self._key_space, user))

    async def change(self, changes: Sequence[UserChange]) -> list[Answer]:
        """Store changes; return an answer for each. Raises `RedisFault`."""
        return await run_flow(self._client, change_flow(self._key_space, changes))

    async def channels(self) -> Collection[str]:
        """Return the channels of the deployment."""
        return self._key_space.shared.channels

    @contextmanager
    def problems(self) -> Iterator[None]:
        """Turn faults of Redis into problems, which do not say where it is: anybody may read them.

        The log says it.
        """
        try:
            yield
        except RedisFault as error:
            raise self._failed(failed_call(error)) from error
        except CallFailed as error:
            raise self._failed(error) from error
        else:
            self._edges.up()

    def _failed(self, error: CallFailed) -> Problem:
        self._edges.down(error.code, str(error))
        if isinstance(error, Misconfigured):
            detail = "the preferences cannot be used: see the log of the gateway"
            return Problem("misconfigured", detail)
        kind = "unavailable"
        if error.code == BUSY:
            kind = "busy"
        elif isinstance(error, ServerRefused):
            kind = "refused"
        detail = f"the preferences are unavailable: {error.code}"
        return Problem(kind, detail, (), retry_after(retry_ms()))
