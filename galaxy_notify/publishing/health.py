"""Whether a shard can publish now: Redis answers, and the stream takes events."""

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

#: How long after a write that no replica confirmed an idle shard does not pass for well.
_UNCONFIRMED_S: Final = 60.0


class ShardHealth:
    """What one shard suffers from, and when its next attempt is worth making.

    Redis that does not answer and a stream that takes nothing are logged apart, at their edges.
    """

    def __init__(self, retry: Retry, stream: EdgeLog, telemetry: Telemetry) -> None:
        """Prepare; *retry* waits out Redis, *stream* logs that the stream takes nothing."""
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
        """What is wrong; empty while all is well."""
        return self._redis_reason or self._stream_reason

    @property
    def redis_is_away(self) -> bool:
        """Whether Redis does not serve this shard; one whose replicas lag behind still does."""
        return bool(self._redis_reason) and not self._unconfirmed_at

    @property
    def retry_at(self) -> float:
        """When to try again, by the monotonic clock; 0 is now."""
        return max(self._retry.retry_at, self._stream_retry_at)

    def attempt(self) -> None:
        """Note that a slot tries now; while Redis is away, the others wait for its outcome."""
        if self.redis_is_away:
            self._retry.attempt()

    def redis_failed(self, error: RedisFault) -> None:
        """Note that Redis could not serve; raise `ConfigurationError` if it never did so."""
        fault = error.fault
        self._telemetry.redis_error(fault.code)
        self._unconfirmed_at = monotonic() if fault.code == UNCONFIRMED else 0.0
        if fault.remedy is Remedy.CONFIGURE and not self._answered:
            raise ConfigurationError(f"redis: {fault.reason}") from error
        self._retry.failed(fault)
        self._redis_reason = f"redis: {fault.code}"

    def stream_refused(self, reason: str) -> None:
        """Note that the stream takes nothing."""
        self._redis_answered(inf)
        self._stream.down("refused", reason)
        self._stream_reason = f"stream refused: {reason}"
        self._stream_retry_at = monotonic() + self._stream_backoff.next() / 1000

    def passed(self, moved: int, began_at: float = inf) -> None:
        """Note that a pass went through, in which *moved* routes were settled.

        Only one that moved routes shows that the stream takes events, and that replicas confirm
        again. One that *began* before another failed may have asked before Redis went away: it
        shows nothing.
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
