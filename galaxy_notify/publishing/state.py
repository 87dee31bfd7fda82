"""State that the parts of a publisher share: its policy, the process, one shard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random, SystemRandom
from time import monotonic
from typing import Final, Literal

from galaxy_notify.backoff import Jitter, delay_ms
from galaxy_notify.encoding import Encoder, MsgpackEncoder, load_encoder
from galaxy_notify.model.notification import Notification
from galaxy_notify.model.route_body import published_line
from galaxy_notify.publishing.health import ShardHealth
from galaxy_notify.redis_client.retries import LONGEST_MS, OutageLog, Retry, RetryPolicy, Stagger
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.publish_call import PublishTerms
from galaxy_notify.redis_state.shared_settings import SharedSettings
from galaxy_notify.redis_state.worker_process import EXTERNAL
from galaxy_notify.settings import Settings
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_LONGEST_MS_OF_SEVERAL: Final = 2500
# A node gets at most two connections a second: one attempt, and one by the janitor before it knows
# of the outage or, in a cluster, by the lookup of the slots.
_APART_S: Final = 1.0


@dataclass(frozen=True)
class Policy:
    """The settings that decide about routes: limits, retries, the encoder. Durations are in ms."""

    worker_id: str
    encoder: Encoder
    shared: SharedSettings
    backoff_min_ms: int = 1000
    backoff_max_ms: int = 60_000
    jitter: Jitter = "full"
    max_abandoned: int = 5
    on_refused: Literal["hold", "retry"] = "hold"
    rng: Random = field(default_factory=SystemRandom)
    publish: Literal["script", "leased"] = "script"

    @classmethod
    def from_settings(
        cls, settings: Settings, worker_id: str, encoder: Encoder | None = None
    ) -> Policy:
        """Return the policy of *settings*, with their encoder or the given one.

        Raises `ConfigurationError` for an encoder that cannot be loaded.
        """
        return cls(
            worker_id=worker_id,
            encoder=encoder or load_encoder(settings.gateway.encoder),
            shared=SharedSettings.from_settings(settings),
            backoff_min_ms=settings.retry.backoff_min_ms,
            backoff_max_ms=settings.retry.backoff_max_ms,
            jitter=settings.retry.jitter,
            max_abandoned=settings.worker.max_abandoned,
            on_refused=settings.gateway.on_refused,
            publish=settings.worker.publish,
        )

    @property
    def by_script(self) -> bool:
        """Whether one script publishes what it can; it forwards bytes, as one encoder does."""
        return self.publish == "script" and type(self.encoder) is MsgpackEncoder

    def delay_ms(self, attempt: int) -> int:
        """Return the pause in ms after failed attempt number *attempt*."""
        return delay_ms(attempt, self.backoff_min_ms, self.backoff_max_ms, self.jitter, self.rng)

    def keep_ms(self, notification: Notification) -> int:
        """Return how long, in ms, a notification is kept once no route needs it."""
        keyed = bool(notification.idempotency_key)
        if self._keep_ms is None:
            return self.shared.keep_ms(keyed=keyed, kind=notification.type)
        return self._keep_ms[keyed]

    @cached_property
    def publish_terms(self) -> PublishTerms:
        """The terms on which the script publishes routes."""
        shared = self.shared
        return PublishTerms(
            shared.max_payload_bytes,
            published_line(self.worker_id),
            shared.keeps_ms(),
            {kind: shared.keeps_ms(kind) for kind in shared.types_with_cooldowns},
        )

    @cached_property
    def _keep_ms(self) -> tuple[int, int] | None:
        """Times in ms without a key and with one; None if it depends on the type."""
        if self.shared.has_cooldowns:
            return None
        return self.shared.keep_ms(keyed=False), self.shared.keep_ms(keyed=True)


class ExclusiveGate:
    """Lets the slots of a process work in parallel, or one of them with nothing else in flight.

    A route that was abandoned twice may kill the process that encodes it. It is claimed alone, so
    that a crash abandons no other route and only its own count grows. At `max_abandoned` it is
    dead-lettered; its neighbours never are.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._is_exclusive = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the gate together with other slots."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_exclusive)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the gate alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_exclusive)
            self._is_exclusive = True
            await self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._is_exclusive = False
                self._changed.notify_all()


@dataclass
class PublisherState:
    """State that all shards of a process share; *progressed* gets the number of a shard."""

    settings: Settings
    policy: Policy
    telemetry: Telemetry
    about: dict[str, str]
    progressed: Callable[[int], object] = bool
    gate: ExclusiveGate = field(default_factory=ExclusiveGate)
    stagger: Stagger = field(default_factory=lambda: Stagger(_APART_S))

    def reload(self, settings: Settings, policy: Policy) -> None:
        """Apply new settings and a new policy; the shared settings stay."""
        self.settings = settings
        self.policy = replace(policy, shared=self.policy.shared)

    def show_breakers(self, resting: Mapping[str, int]) -> None:
        """Report how many hosts of each external channel rest, with the next beat of the worker."""
        channels = self.settings.channels
        shown = {name: [channels[name].kind, count] for name, count in resting.items()}
        self.about[EXTERNAL] = json.dumps(shown)

    @property
    def retry_policy(self) -> RetryPolicy:
        """The pauses in an outage; shorter if another node may take over."""
        several = self.settings.redis.cluster or self.settings.redis.sentinels
        return RetryPolicy(_LONGEST_MS_OF_SEVERAL if several else LONGEST_MS, 0.0, _APART_S)


class ShardState:
    """State that the parts of one shard share, and through which they wake each other.

    Worker, claimer, publisher, waiter and janitor use it instead of each other.
    """

    def __init__(
        self, publisher: PublisherState, keys: Keys, node: Callable[[], str] = str
    ) -> None:
        """Prepare; *node* returns the node that serves the shard now, in a cluster."""
        worker_id, telemetry = publisher.policy.worker_id, publisher.telemetry
        self.publisher = publisher
        self.keys = keys
        self.channels = tuple(publisher.settings.worker.channels)
        #: Those that this process publishes to the gateway stream.
        self.stream_channels = publisher.settings.stream_channels
        self.log = get_logger("publisher", worker=worker_id, shard=keys.shard, stream=keys.stream)
        #: Whoever works this shard logs its outage here, once.
        self.outages = OutageLog(EdgeLog(self.log))
        self.node = node
        self.health = ShardHealth(
            Retry(
                self.outages,
                publisher.stagger,
                publisher.retry_policy,
                node,
                self.wake,
            ),
            EdgeLog(self.log, "stream writes refused", "stream writes accepted again"),
            telemetry,
        )
        self.stopping = False
        #: The time of the next claim, by the monotonic clock, if no wake-up comes before.
        self.claim_at = 0.0
        #: Grows while routes move; the janitor then works faster, at a negligible cost.
        self.batches_settled = 0
        #: Ends the pause of the janitor.
        self.tidy_now = asyncio.Event()
        self._wakeup: asyncio.Future[None] | None = None

    def stop(self) -> None:
        """Stop claiming, settle the encoded routes, release the others, and end the janitor."""
        self.stopping = True
        self.wake()
        self.tidy_now.set()

    def progressed(self) -> None:
        """Report progress of the loop to the watchdog and to telemetry."""
        self.publisher.progressed(self.keys.shard)
        self.publisher.telemetry.progressed(self.keys.shard)

    def settled_batch(self, stream_length: int) -> None:
        """Record a settled batch and the length of the stream after it."""
        self.batches_settled += 1
        if stream_length > self.publisher.policy.shared.max_len:
            self.tidy_now.set()

    def claim_again_in(self, seconds: float) -> None:
        """Claim again after *seconds*, or sooner if `claim_now` is called."""
        self.claim_at = monotonic() + seconds

    def claim_now(self) -> None:
        """Claim now: there may be work."""
        self.claim_at = 0.0
        self.wake()

    def wake(self) -> None:
        """Wake the waiting slot, if there is one: its state has changed."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def next_wakeup(self) -> asyncio.Future[None]:
        """Return the future that `wake` completes; one slot waits at a time."""
        self._wakeup = asyncio.get_running_loop().create_future()
        return self._wakeup
