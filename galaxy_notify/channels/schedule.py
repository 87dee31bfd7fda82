"""How often a route of a channel is tried, and when again."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Final

from galaxy_notify.backoff import Jitter, delay_ms
from galaxy_notify.model.route import Route
from galaxy_notify.settings.channels import ChannelSettings
from galaxy_notify.settings.sections import RetrySettings

_SPREAD: Final = 0.2


@dataclass(frozen=True)
class Schedule:
    """The delays in ms before further attempts: listed, or growing from *minimum* to *maximum*."""

    delays: tuple[int, ...]
    minimum: int
    maximum: int
    jitter: Jitter
    max_attempts: int
    rng: Random = field(default_factory=SystemRandom)

    @classmethod
    def from_settings(cls, channel: ChannelSettings, retry: RetrySettings) -> Schedule:
        """Return the schedule of a channel; ``retry`` has what its section leaves out."""
        return cls(
            delays=channel.schedule,
            minimum=channel.backoff_min_ms or retry.backoff_min_ms,
            maximum=channel.backoff_max_ms or retry.backoff_max_ms,
            jitter=retry.jitter,
            max_attempts=channel.max_attempts or retry.max_attempts,
        )

    def attempts(self, route: Route) -> int:
        """Return how many attempts a route has: its intent's or the channel's, as far as listed."""
        most = route.max_attempts or self.max_attempts
        return min(most, len(self.delays) + 1) if self.delays else most

    def delay_ms(self, attempt: int, retry_after_ms: int | None = None) -> int:
        """Return the pause in ms after failed attempt number *attempt*.

        It is longer where the other side asked for that, but not than the longest of the schedule.
        """
        if self.delays:
            delay = self.delays[min(attempt, len(self.delays)) - 1]
            delay = round(delay * self.rng.uniform(1 - _SPREAD, 1 + _SPREAD))
        else:
            delay = delay_ms(attempt, self.minimum, self.maximum, self.jitter, self.rng)
        longest = max(self.delays, default=self.maximum)
        return max(1, delay, min(retry_after_ms or 0, longest))
