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
from typing import Any, Final

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

#: The name of the only worker, as history and failures show it.
WORKER: Final = "testing"


class LocalPublisher:
    """Publishes what is due."""

    def __init__(self, environment: Environment, settings: Settings, policy: Policy) -> None:
        """Prepare; nothing runs before `publish_due`."""
        self._client = environment.open_async(settings)
        self._state = PublisherState(settings, policy, Telemetry.off(), about={})
        self._tokens = count(1)

    def publish_due(self) -> None:
        """Bring every route that is due now to an outcome, also from within a running loop."""
        _run(self._all())

    async def _all(self) -> None:
        settings, shared = self._state.settings, self._state.policy.shared
        for keys in KeySpace(settings.redis.prefix, shared).all_keys:
            await self._publish_shard(keys)
        await self._client.aclose()

    async def _publish_shard(self, keys: Keys) -> None:
        state, shared = self._state, self._state.policy.shared
        store = Store(self._client, keys, state.telemetry.script_ran)
        reporter = Reporter(state.telemetry, keys, WORKER, shared.max_attempts)
        publisher = Publisher(store, ShardState(state, keys), reporter)
        # Nothing trims the stream, so it may grow beyond its length.
        limits = replace(claim_limits(state.settings), hold_at=0)
        for channel in shared.channels:
            while (claim := await store.claim(channel, self._token(), limits)).members:
                # An encoder may take any time, as with a debugger in it: no lease expires.
                outcome = await publisher.settle(Leased(channel, claim, since=inf))
                if outcome.refused:
                    raise StreamRefused(outcome.refused)

    def _token(self) -> str:
        ttl_ms = self._state.settings.worker.lease_ttl_ms
        return f"{WORKER}:0:{ttl_ms}:{next(self._tokens):016x}"


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end; where a loop runs already, in a thread that ends with it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()
