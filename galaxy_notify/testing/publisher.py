"""The work of a daemon, done when a test asks for it and until nothing is due.

Claim, encode and settle are the daemon's own. Left out is what time and other processes ask
for: rests, wake-ups, heartbeats, taking turns, the janitor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from math import inf
from typing import Any, Final, TypeVar

import redis.asyncio

from galaxy_notify.errors import StreamRefused
from galaxy_notify.publishing.policy import Policy
from galaxy_notify.publishing.publisher import Pace, Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.redis_client.environment import Environment
from galaxy_notify.redis_state.calls import ClaimLimits
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry

T = TypeVar("T")
#: The name of the only worker, as history and failures show it.
WORKER: Final = "testing"
_CLAIM_BYTES: Final = 4 << 20
_RECORD_FRAME_BYTES: Final = 4096


class LocalPublisher:
    """Publishes what is due."""

    def __init__(self, environment: Environment, settings: Settings, policy: Policy) -> None:
        """Prepare; nothing runs before `publish_due`."""
        self._client = environment.open_async(settings)
        self._settings = settings
        self._policy = policy
        self._tokens = count(1)

    def publish_due(self) -> None:
        """Bring every route that is due now to an outcome, also from within a running loop."""
        _run(self._all())

    async def _all(self) -> None:
        layout = Layout(self._settings.redis.prefix, self._policy.deployment)
        for keys in layout.all_keys:
            shard = _Shard(self._client, keys, self._policy)
            for channel in self._policy.deployment.channels:
                while await shard.publish(channel, self._token(), self._limits):
                    pass
        await self._client.aclose()

    @property
    def _limits(self) -> ClaimLimits:
        return ClaimLimits(
            members=self._settings.worker.batch_size,
            ttl_ms=self._settings.worker.lease_ttl_ms,
            bytes=_CLAIM_BYTES,
            record_bytes=self._settings.limits.max_payload_bytes + _RECORD_FRAME_BYTES,
            # Nothing trims the stream, so it may grow as it likes.
            hold_at=0,
        )

    def _token(self) -> str:
        return f"{WORKER}:0:{self._settings.worker.lease_ttl_ms}:{next(self._tokens):016x}"


class _Shard:
    """What publishes one shard."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, policy: Policy) -> None:
        telemetry = Telemetry.off()
        reporter = Reporter(telemetry, keys, WORKER, policy.deployment.max_attempts)
        self._store = Store(client, keys, telemetry.script_ran)
        # However long an encoder takes, as with a debugger in it: no lease lapses meanwhile.
        pace = Pace(patience_s=inf, stopping=lambda: False, progressed=lambda: None)
        self._publisher = Publisher(self._store, policy, reporter, pace)

    async def publish(self, channel: str, token: str, limits: ClaimLimits) -> bool:
        """Settle a batch of a channel and tell whether there was one."""
        claim = await self._store.claim(channel, token, limits)
        if not claim.members:
            return False
        outcome = await self._publisher.settle(channel, claim, since=0.0)
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
