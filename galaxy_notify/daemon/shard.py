"""One shard of a process: its worker and its janitor."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import redis.asyncio

from galaxy_notify.publishing.janitor import Janitor
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import PublisherState, ShardState
from galaxy_notify.publishing.worker import ShardWorker
from galaxy_notify.redis_client.durability import Confirmation
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import at_shard, node_of
from galaxy_notify.redis_state.janitor_store import JanitorStore
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store


class Shard:
    """A running shard."""

    def __init__(
        self, process_client: redis.asyncio.Redis, publisher: PublisherState, keys: Keys
    ) -> None:
        self.client = client = at_shard(process_client, keys.tag)
        policy, telemetry = publisher.policy, publisher.telemetry
        self.state = ShardState(publisher, keys, lambda: node_of(client))
        confirm = Confirmation.of(publisher.settings.redis.durability)
        self.store = Store(client, keys, telemetry.script_ran, confirm)
        self._reporter = Reporter(telemetry, keys, policy.worker_id, policy.shared.max_attempts)
        self.worker = ShardWorker(self.store, self.state, self._reporter)
        self.janitor = Janitor(JanitorStore(client, keys, policy.shared), self.state)

    async def run(self) -> None:
        """Publish until stopped; raise the error that ended it otherwise."""
        publisher = self.state.publisher
        tidying = asyncio.create_task(self.janitor.run())
        working = asyncio.create_task(self.worker.run(publisher.settings.worker.slots))
        await asyncio.wait({tidying, working}, return_when=asyncio.FIRST_COMPLETED)
        self.stop()
        # If one failed, the other still finishes its calls in flight.
        await asyncio.wait({tidying, working})
        self._reporter.log_sums(at_end=True)
        # If Redis is away, the worker is forgotten 30 s after its last progress.
        with suppress(RedisFault):
            await self.store.retire(publisher.policy.worker_id)
        for part in (working, tidying):
            part.result()

    def stop(self) -> None:
        """Settle the encoded routes, release the others, and stop."""
        self.state.stop()
