"""One shard, as the external channels of a process work it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from galaxy_notify.publishing.state import ShardState
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.retries import Retry
from galaxy_notify.redis_state.store import Store


class ChannelShard:
    """The store of a shard, and when it may be called again in an outage.

    The shard's own worker has a `Retry` of its own: a channel never waits for the stream.
    """

    def __init__(self, state: ShardState, store: Store, wake: Callable[[], object]) -> None:
        """Prepare; *wake* is called when Redis has answered again."""
        self.store = store
        self.keys = state.keys
        self._telemetry = state.publisher.telemetry
        self._wake = wake
        self._up = asyncio.Event()
        publisher = state.publisher
        self._retry = Retry(
            state.outages, publisher.stagger, publisher.retry_policy, state.node, self._woken
        )

    @property
    def retry_at(self) -> float:
        """When the shard may be called, by the monotonic clock; 0 is now."""
        return self._retry.retry_at

    def attempt(self) -> None:
        """Record that a place tries now: in an outage, the others wait for its outcome."""
        self._retry.attempt()

    def answered(self, began_at: float = inf) -> None:
        """Record that a call was answered which began at that time."""
        self._retry.recovered(began_at)

    async def wait(self, seconds: float) -> None:
        """Wait for this long, or until Redis has answered again."""
        self._up.clear()
        waiting = asyncio.create_task(self._up.wait())
        await asyncio.wait({waiting}, timeout=seconds)
        waiting.cancel()

    def _woken(self) -> None:
        self._up.set()
        self._wake()

    async def failed(self, error: RedisFault) -> None:
        """Record a failed call of this shard, and delay the next one."""
        self._retry.failed(error.fault)
        await self.noted(error)

    async def noted(self, error: RedisFault) -> None:
        """Count a fault, of any shard, and look for another primary where that may help."""
        self._telemetry.redis_error(error.fault.code)
        if error.fault.remedy is Remedy.RESOLVE:
            await self.store.refresh_primary()
