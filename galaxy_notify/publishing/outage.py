"""What a shard does while Redis or its stream takes nothing: wait ever longer, say it once."""

from __future__ import annotations

from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_state.faults import Remedy
from galaxy_notify.redis_state.runner import RedisFault
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

_MISCONFIGURED_S: Final = 30.0
_APART_S: Final = 0.5


class Turns:
    """Keeps the tries of a process apart while Redis is away, however many shards it serves."""

    def __init__(self) -> None:
        self._last: tuple[Outage | None, float] = (None, 0.0)
        self._away: set[Outage] = set()

    def next(self, outage: Outage, pause_s: float) -> float:
        """Return when a shard may try again: after its pause, and not just when another does."""
        self._away.add(outage)
        other, at = self._last
        try_at = monotonic() + pause_s
        if other not in (None, outage):
            try_at = max(try_at, at + _APART_S)
        self._last = (outage, try_at)
        return try_at

    def answered(self, outage: Outage) -> None:
        """Let all try now: Redis has answered one that it did not answer before."""
        self._away.discard(outage)
        for other in self._away:
            other.rest_until = 0.0
        self._away.clear()
        self._last = (None, 0.0)


class Outage:
    """The pauses of one shard; those of a process take turns."""

    def __init__(
        self, log: FilteringBoundLogger, telemetry: Telemetry, turns: Turns | None = None
    ) -> None:
        self.rest_until = 0.0
        self._turns = turns or Turns()
        self._redis_reason = ""
        self._stream_reason = ""
        self._telemetry = telemetry
        self._backoff = OutageBackoff()
        self._redis = EdgeLog(log)
        self._stream = EdgeLog(log, "stream refused", "stream accepted again")
        self._answered = False

    @property
    def reason(self) -> str:
        """Return what is amiss; empty while all is well."""
        return self._redis_reason or self._stream_reason

    @property
    def is_on(self) -> bool:
        """Tell whether something is amiss."""
        return bool(self.reason)

    @property
    def redis_is_away(self) -> bool:
        """Tell whether Redis does not serve this shard."""
        return bool(self._redis_reason)

    def redis(self, error: RedisFault) -> None:
        """Note that Redis could not serve; raise `ConfigurationError` if it never did so."""
        fault = error.fault
        self._telemetry.redis_error(fault.code)
        if fault.remedy is Remedy.CONFIGURE and not self._answered:
            raise ConfigurationError(f"redis: {fault.text}") from error
        self._redis.down(fault.code, fault.text)
        self._redis_reason = f"redis: {fault.code}"
        if fault.remedy is Remedy.CONFIGURE:
            self.rest_until = monotonic() + _MISCONFIGURED_S
        else:
            self.rest_until = self._turns.next(self, self._backoff.next() / 1000)

    def stream(self, reason: str) -> None:
        """Note that the stream takes nothing."""
        self._redis_works()
        self._stream.down("refused", reason)
        self._stream_reason = f"stream refused: {reason}"
        self.rest_until = monotonic() + self._backoff.next() / 1000

    def over(self, moved: int) -> None:
        """Note that a pass went through; only one that moved routes speaks for the stream."""
        self._redis_works()
        if moved and self._stream_reason:
            self._stream.up()
            self._stream_reason = ""
        if not self._stream_reason:
            self._backoff.reset()

    def _redis_works(self) -> None:
        self._answered = True
        if self._redis_reason:
            self._redis.up()
            self._redis_reason = ""
            self._turns.answered(self)
