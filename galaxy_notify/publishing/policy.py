"""What a worker decides by: limits, retries and the encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Literal

from galaxy_notify.backoff import Jitter, delay_ms
from galaxy_notify.encoding import Encoder, load_encoder
from galaxy_notify.redis_state.deployment import Deployment
from galaxy_notify.settings import Settings


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one worker process; durations in ms."""

    worker_id: str
    encoder: Encoder
    deployment: Deployment
    backoff_min_ms: int = 1000
    backoff_max_ms: int = 60_000
    jitter: Jitter = "full"
    max_abandoned: int = 5
    on_refused: Literal["hold", "retry"] = "hold"
    rng: Random = field(default_factory=SystemRandom)

    @classmethod
    def from_settings(
        cls, settings: Settings, worker_id: str, encoder: Encoder | None = None
    ) -> Policy:
        """Return the rules that *settings* ask for, with their encoder or the one in use.

        Raises `ConfigurationError` for an encoder that can't be loaded.
        """
        return cls(
            worker_id=worker_id,
            encoder=encoder or load_encoder(settings.gateway.encoder),
            deployment=Deployment.from_settings(settings),
            backoff_min_ms=settings.retry.backoff_min_ms,
            backoff_max_ms=settings.retry.backoff_max_ms,
            jitter=settings.retry.jitter,
            max_abandoned=settings.worker.max_abandoned,
            on_refused=settings.gateway.on_refused,
        )

    def delay_ms(self, attempt: int) -> int:
        """Return how long to wait after failed attempt number *attempt*."""
        return delay_ms(attempt, self.backoff_min_ms, self.backoff_max_ms, self.jitter, self.rng)
