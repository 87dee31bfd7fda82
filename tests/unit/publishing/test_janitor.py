"""The janitor of a shard: its stop."""

from __future__ import annotations

import asyncio
from typing import cast

from galaxy_notify.publishing.janitor import Janitor
from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.redis_state.keys import Keys
from tests.support.worker import publisher_state


class _FailingStore:
    """Stops the shard while it is asked for the lock, and then refuses it."""

    def __init__(self, state: ShardState) -> None:
        self.keys = state.keys
        self.is_left = False
        self._state = state

    async def take_lock(self, _worker_id: str) -> bool:
        self._state.stop()
        raise _refused()

    async def drop_lock(self, _worker_id: str) -> None:
        self.is_left = True


def _refused() -> RedisFault:
    return RedisFault(Fault("NOPERM", Remedy.CONFIGURE, "NOPERM no permission"))


def test_janitor__stopped_in_a_pass_that_fails_does_not_rest() -> None:
    """The stop came before the pass had failed: a rest of half a minute would outlast the drain."""

    async def main() -> None:
        state = ShardState(publisher_state(), Keys("gn", 0))
        store = _FailingStore(state)
        janitor = asyncio.create_task(Janitor(cast("JanitorStore", store), state).run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert store.is_left
        await janitor

    asyncio.run(main())
