"""The work of a daemon, done when a test asks for it and until nothing is due.

Claim, encode and settle are the daemon's own. Left out is what time and other processes ask
for: rests, wake-ups, heartbeats, taking turns, the janitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from math import inf
from typing import Any, Final, TypeVar

import redis.asyncio

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.claimer import Leased, claim_limits
from galaxy_notify.publishing.publisher import Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.state import Policy, PublisherState, ShardState
from galaxy_notify.redis_client.access import Environment
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry

T = TypeVar("T")
#: The name of the only worker, as history and failures show it.
WORKER: Final = "testing"


class LocalPublisher:
    """Publishes what is due."""

    def __init__(self, environment: Environment, settings: Settings, policy: Policy) -> None:
        """Prepare; nothing runs before `publish_due`."""
        self._client = environment.open_async(settings)
        self._publisher = PublisherState(settings, policy, Telemetry.off(), about={})
        self._tokens = count(1)

    def publish_due(self) -> None:
        """Bring every route that is due now to an outcome, also from within a running loop."""
        _run(self._all())

    async def _all(self) -> None:
        settings, shared = self._publisher.settings, self._publisher.policy.shared
        for keys in KeySpace(settings.redis.prefix, shared).all_keys:
            shard = _ShardPublisher(self._client, self._publisher, keys)
            for channel in shared.channels:
                while await shard.publish(channel, self._token()):
                    pass
        await self._client.aclose()

    def _token(self) -> str:
        ttl_ms = self._publisher.settings.worker.lease_ttl_ms
        return f"{WORKER}:0:{ttl_ms}:{next(self._tokens):016x}"


class _ShardPublisher:
    """What publishes one shard."""

    def __init__(self, client: redis.asyncio.Redis, publisher: PublisherState, keys: Keys) -> None:
        policy, telemetry = publisher.policy, publisher.telemetry
        reporter = Reporter(telemetry, keys, WORKER, policy.shared.max_attempts)
        # Nothing trims the stream, so it may grow beyond its length.
        self._limits = replace(claim_limits(publisher.settings), hold_at=0)
        self._store = Store(client, keys, telemetry.script_ran)
        self._publisher = Publisher(self._store, ShardState(publisher, keys), reporter)

    async def publish(self, channel: str, token: str) -> bool:
        """Settle a batch of a channel and return whether there was one."""
        claim = await self._store.claim(channel, token, self._limits)
        if not claim.members:
            return False
        # An encoder may take any time, as with a debugger in it: no lease expires meanwhile.
        outcome = await self._publisher.settle(Leased(channel, claim, since=inf))
        if outcome.refused:
            raise StreamRefused(outcome.refused)
        return True


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; where a loop runs already, in a thread that ends with it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
