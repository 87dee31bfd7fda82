"""Round trips that tasks share: what they ask in the same turn of the event loop goes together.

Tasks that make one short call each spend more on writing and reading than on what they ask: with
32 that send webhooks, a round trip of their own costs a fifth of all. Each call keeps its own reply
or fault, and none waits for a later turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis.asyncio

from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.nodes import AsyncNodesClient
from galaxy_notify.redis_client.runner import Calls, run_all


class _Asked(NamedTuple):
    """What a task asks, and where it waits for its replies."""

    calls: Calls
    replies: asyncio.Future[list[Any]]


class SharedRounds:
    """Shares round trips on one client, in one event loop.

    Not with a client of several nodes: calls to one would wait for another one that is away.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._is_shared = not isinstance(client, AsyncNodesClient)
        #: Those that go along with the first task of this turn, by what confirms them.
        self._joining: dict[Confirmation | None, list[_Asked]] = {}

    async def replies(self, calls: Calls, confirm: Confirmation | None = None) -> list[Any]:
        """Return a reply, or the fault in its place, for each call; see `run_all`.

        A task is not to be cancelled here: others may wait for its round trip.
        """
        if not self._is_shared:
            return await run_all(self._client, calls, confirm)
        joining = self._joining.get(confirm)
        if joining is not None:
            asked = _Asked(calls, asyncio.get_running_loop().create_future())
            joining.append(asked)
            return await asked.replies
        joining = self._joining[confirm] = []
        await asyncio.sleep(0)  # all tasks that are ready now have their turn
        del self._joining[confirm]
        return await self._together(calls, joining, confirm)

    async def _together(
        self, calls: Calls, joining: Sequence[_Asked], confirm: Confirmation | None
    ) -> list[Any]:
        together = [*calls, *(call for asked in joining for call in asked.calls)]
        try:
            found = await run_all(self._client, together, confirm)
        except BaseException as error:
            for asked in joining:
                asked.replies.set_exception(error)
            raise
        begin = len(calls)
        for asked in joining:
            end = begin + len(asked.calls)
            asked.replies.set_result(found[begin:end])
            begin = end
        return found[: len(calls)]
