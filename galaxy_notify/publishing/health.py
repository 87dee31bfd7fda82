"""The health of a shard: whether Redis answers, and whether the stream takes events."""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import Final

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.durability import UNCONFIRMED
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.redis_client.retries import Retry
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

#: How long an idle shard stays unhealthy after a write that no replica confirmed.
_UNCONFIRMED_S: Final = 60.0


class ShardHealth:
    """The faults of one shard, and the time of its next attempt.

    Outages of Redis and refusals of the stream are logged separately, at start and end.
    """

    def __init__(self, retry: Retry, stream: EdgeLog, telemetry: Telemetry) -> None:
        """Prepare; *retry* times attempts in an outage, *stream* logs refusals of the stream."""
        self._retry = retry
        self._stream = stream
        self._telemetry = telemetry
        self._redis_reason = ""
        self._stream_reason = ""
        self._stream_backoff = OutageBackoff()
        self._stream_retry_at = 0.0
        self._answered = False
        self._unconfirmed_at = 0.0

    @property
    def reason(self) -> str:
        """The reason of the current fault; empty while healthy."""
        return self._redis_reason or self._stream_reason

    @property
    def redis_is_away(self) -> bool:
        """Whether Redis does not serve this shard; one with lagging replicas still does."""
        return bool(self._redis_reason) and not self._unconfirmed_at

    @property
    def retry_at(self) -> float:
        """The time of the next attempt, by the monotonic clock; 0 is now."""
        return max(self._retry.retry_at, self._stream_retry_at)

    def attempt(self) -> None:
        """Record that a slot tries now; while Redis is away, the others wait for its outcome."""
        if self.redis_is_away:
            self._retry.attempt()

    def redis_failed(self, error: RedisFault) -> None:
        """Record a fault; raise `ConfigurationError` if Redis refuses and never answered before."""
        fault = error.fault
        self._telemetry.redis_error(fault.code)
        self._unconfirmed_at = monotonic() if fault.code == UNCONFIRMED else 0.0
        if fault.remedy is Remedy.CONFIGURE and not self._answered:
            raise ConfigurationError(f"redis: {fault.reason}") from error
        self._retry.failed(fault)
        self._redis_reason = f"redis: {fault.code}"

    def stream_refused(self, reason: str) -> None:
        """Record that the stream refuses events."""
        self._redis_answered(inf)
        self._stream.down("refused", reason)
        self._stream_reason = f"stream refused: {reason}"
        self._stream_retry_at = monotonic() + self._stream_backoff.next() / 1000

    def passed(self, moved: int, began_at: float = inf) -> None:
        """Record a successful pass, in which *moved* routes were settled.

        Only a pass that moved routes proves that the stream takes events and that replicas confirm
        again. A pass that began before another failed proves nothing: Redis may have answered it
        before the outage.
        """
        since = self._unconfirmed_at
        if since and not moved and monotonic() - since < _UNCONFIRMED_S:
            return
        self._redis_answered(began_at)
        if moved and self._stream_reason and not self._redis_reason:
            self._stream.up()
            self._stream_reason = ""
            self._stream_retry_at = 0.0
            self._stream_backoff.reset()

    def _redis_answered(self, began_at: float) -> None:
        self._retry.recovered(began_at)
        if not self._retry.is_down:
            self._answered, self._unconfirmed_at, self._redis_reason = True, 0.0, ""
