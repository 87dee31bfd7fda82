"""One shard's parts, put together: worker and janitor with all they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import redis.asyncio

from galaxy_notify.publishing.claimer import Claimer
from galaxy_notify.publishing.gate import Gate
from galaxy_notify.publishing.janitor import Janitor, Neighbour, Rules
from galaxy_notify.publishing.outage import Outage, Turns
from galaxy_notify.publishing.policy import Policy
from galaxy_notify.publishing.publisher import Pace, Publisher
from galaxy_notify.publishing.reporter import Reporter
from galaxy_notify.publishing.waiter import Waiter
from galaxy_notify.publishing.worker import Hooks, Worker
from galaxy_notify.redis_client.durability import Confirm
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.nodes import at_shard, node_of
from galaxy_notify.redis_state.calls import ClaimLimits
from galaxy_notify.redis_state.dead_retention import DeadRules
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.store import Store
from galaxy_notify.redis_state.upkeep import Upkeep
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry

_CLAIM_BYTES = 4 << 20
#: What a record holds beside the payload: ids, names, keys and its frame.
_RECORD_FRAME_BYTES = 4096


@dataclass(frozen=True)
class Shared:
    """What all shards of a process share."""

    client: redis.asyncio.Redis
    settings: Settings
    policy: Policy
    telemetry: Telemetry
    gate: Gate
    turns: Turns
    about: dict[str, str]
    progressed: Callable[[int], None]


class Shard:
    """A running shard."""

    def __init__(self, shared: Shared, keys: Keys) -> None:
        self.keys = keys
        self._shared = shared
        settings, policy = shared.settings, shared.policy
        channels = settings.worker.channels
        self._client = at_shard(shared.client, keys.tag)
        store = self._store = Store(
            self._client,
            keys,
            shared.telemetry.script_ran,
            Confirm.of(settings.redis.durability),
        )
        reporter = self._reporter = Reporter(
            shared.telemetry, keys, policy.worker_id, policy.deployment.max_attempts
        )
        claimer = Claimer(
            store, reporter, channels, _limits(settings), settings.worker.poll_interval_ms
        )
        claimer.introduce(policy.worker_id, shared.about)
        self._publisher = Publisher(
            store,
            policy,
            reporter,
            Pace(
                patience_s=settings.worker.lease_ttl_ms / 2000,
                stopping=lambda: self.worker.stopping,
                progressed=self._progressed,
            ),
        )
        self.worker = Worker(
            claimer,
            self._publisher,
            Waiter(store, channels),
            Outage(reporter.log, shared.telemetry, shared.turns, lambda: node_of(self._client)),
            shared.gate,
            Hooks(self._progressed, self._saw_length),
        )
        self._janitor = self._new_janitor()

    async def run(self) -> None:
        """Work until stopped; raise what ended it otherwise."""
        tidying = asyncio.create_task(self._janitor.run())
        working = asyncio.create_task(self.worker.run(self._shared.settings.worker.slots))
        await asyncio.wait({tidying, working}, return_when=asyncio.FIRST_COMPLETED)
        self.stop()
        # Where one broke, the other still ends what it has in flight.
        await asyncio.wait({tidying, working})
        self._reporter.log_sums(at_end=True)
        await self._retire()
        for part in (working, tidying):
            part.result()

    def stop(self) -> None:
        """Settle what is encoded, release the rest, and end."""
        self.worker.stop()
        self._janitor.stop()

    def reload(self, settings: Settings, policy: Policy) -> None:
        """Go on with other rules."""
        self._publisher.policy = replace(policy, deployment=self._publisher.policy.deployment)
        self._janitor.rules = _rules(settings)

    def _new_janitor(self) -> Janitor:
        shared, policy = self._shared, self._shared.policy
        return Janitor(
            Upkeep(self._client, self.keys, policy.deployment),
            policy.worker_id,
            shared.settings.worker.channels,
            _rules(shared.settings),
            shared.telemetry,
            Neighbour(
                trimmed=lambda: self.worker.poke(),
                redis_is_away=lambda: self.worker.outage.redis_is_away,
            ),
        )

    async def _retire(self) -> None:
        try:
            await self._store.retire(self._shared.policy.worker_id)
        except RedisFault:
            # It is forgotten 30 s after its last progress.
            return

    def _progressed(self) -> None:
        self._shared.progressed(self.keys.shard)
        self._shared.telemetry.progressed(self.keys.shard)
        self._reporter.log_sums()

    def _saw_length(self, length: int) -> None:
        self._janitor.saw_work()
        if length > self._shared.policy.deployment.max_len:
            self._janitor.hurry()


def _limits(settings: Settings) -> ClaimLimits:
    holds = settings.gateway.trim == "acknowledged"
    return ClaimLimits(
        members=settings.worker.batch_size,
        ttl_ms=settings.worker.lease_ttl_ms,
        bytes=_CLAIM_BYTES,
        record_bytes=settings.limits.max_payload_bytes + _RECORD_FRAME_BYTES,
        hold_at=2 * settings.gateway.max_len if holds else 0,
    )


def _rules(settings: Settings) -> Rules:
    dead = DeadRules(settings.retention.dead_ms, settings.retention.dead_max)
    return Rules(dead, settings.gateway.group_idle_ms)
