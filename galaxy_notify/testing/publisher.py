"""The work of a daemon, done when a test asks for it and until nothing is due.

Claim, encode and settle are the daemon's own. Left out is what time and other processes ask for:
rests, wake-ups, heartbeats, taking turns, the janitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import inf
from typing import Any, Final

import redis.asyncio

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.claimer import Leased, claim_limits
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import Policy, PublisherState, ShardState
from galaxy_notify.redis_client.environment import Environment
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry

#: The name of the only worker, as history and failures show it.
WORKER: Final = "testing"


class LocalPublisher:
    """Publishes what is due."""

    def __init__(self, environment: Environment, settings: Settings, policy: Policy) -> None:
        """Prepare; nothing runs before `publish_due`."""
        self._client = environment.open_async(settings)
        self._state = PublisherState(settings, policy, Telemetry.off(), about={})
        self._layout = Layout(settings.redis.prefix, policy.deployment)
        self._claims = count(1)

    def publish_due(self) -> None:
        """Bring every route that is due now to an outcome, also from within a running loop."""
        _run(self._publish_all())

    async def _publish_all(self) -> None:
        for keys in self._layout.all_keys:
            shard = _Shard(self._client, self._state, keys)
            for channel in self._state.settings.worker.channels:
                while await shard.publish(channel, self._token()):
                    pass
        await self._client.aclose()

    def _token(self) -> str:
        return f"{WORKER}:0:{self._state.settings.worker.lease_ttl_ms}:{next(self._claims):016x}"


class _Shard:
    """What publishes one shard."""

    def __init__(self, client: redis.asyncio.Redis, process: PublisherState, keys: Keys) -> None:
        max_attempts = process.policy.deployment.max_attempts
        reporter = Reporter(process.telemetry, keys, WORKER, max_attempts)
        self._limits = claim_limits(process.settings)
        self._store = Store(client, keys, process.telemetry.script_ran)
        self._publisher = Publisher(self._store, ShardState(process, keys), reporter)

    async def publish(self, channel: str, token: str) -> bool:
        """Settle a batch of a channel; False if nothing was due."""
        claim = await self._store.claim(channel, token, self._limits, alone=False)
        if not claim.members:
            return False
        # It was claimed at the end of time: however long an encoder takes, as with a debugger in
        # it, nothing is released for that.
        outcome = await self._publisher.settle(Leased(channel, claim, since=inf))
        if outcome.refused:
            raise StreamRefused(outcome.refused)
        return True


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; where a loop runs already, in a thread that ends with it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
