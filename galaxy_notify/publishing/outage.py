"""What a shard does while Redis or its stream takes nothing: wait ever longer, say it once."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final

from structlog.typing import FilteringBoundLogger

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.redis_client.durability import UNCONFIRMED
from galaxy_notify.redis_client.faults import RedisFault, Remedy
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.outage import EdgeLog

#: How long the pauses grow; where another node may take over, they stay shorter.
LONGEST_MS: Final = 5000
LONGEST_MS_OF_SEVERAL: Final = 2500
_MISCONFIGURED_S: Final = 30.0
# Two connections a second are left to a node: beside a try there may be the janitor, that does not
# know yet, or in a cluster the question where the slots are.
_APART_S: Final = 1.0
#: A try that got no answer in this time no longer keeps the shard's other slots from theirs: longer
#: than its connection, its login and its call may take together, or they would try beside its end.
_TRY_S: Final = 16.0
#: So long after a write that nobody confirmed, an idle shard does not pass for well.
_UNCONFIRMED_S: Final = 60.0


class Turns:
    """Keeps a process's tries of each node apart while it is away, for however many shards."""

    def __init__(self, longest_ms: int = LONGEST_MS) -> None:
        """Prepare; the pauses of a shard grow to *longest_ms*."""
        self.longest_ms = longest_ms
        self._last: dict[str, tuple[Outage, float]] = {}
        self._away: dict[Outage, str] = {}
        self._turn: dict[Outage, float] = {}

    def next(self, outage: Outage, pause_s: float) -> float:
        """Return when a shard may try again: after its pause, and not just when another does.

        A shard whose turn is yet to come keeps it, however many of its calls fail meanwhile.
        """
        node = self._away[outage] = outage.node()
        last, at = self._last.get(node, (outage, 0.0))
        turn, now = self._turn.get(outage, 0.0), monotonic()
        if last is outage:
            again = turn + _APART_S if 0 < turn <= now else turn
            turn = max(now + pause_s, again)
        elif turn > now:
            return turn
        else:
            turn = max(now + pause_s, at + _APART_S)
        self._turn[outage] = turn
        self._last[node] = (outage, turn)
        return turn

    def answered(self, outage: Outage) -> None:
        """Let all try now that missed the same node, or are served by the one that has answered."""
        node, here = self._away.pop(outage, ""), outage.node()
        self._turn.pop(outage, None)
        for other in [o for o, missed in self._away.items() if missed == node or o.node() == here]:
            other.rest_until = 0.0
            del self._away[other]
            self._turn.pop(other, None)
        for answered in (node, here):
            self._last.pop(answered, None)


class Outage:
    """The pauses of one shard; those of a process take turns."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        telemetry: Telemetry,
        turns: Turns | None = None,
        node: Callable[[], str] = str,
    ) -> None:
        """Prepare; *node* tells which node serves the shard now, as far as there are several."""
        self.rest_until = 0.0
        self.node = node
        self._turns = turns or Turns()
        self._redis_reason = ""
        self._stream_reason = ""
        self._telemetry = telemetry
        self._backoff = OutageBackoff(maximum_ms=self._turns.longest_ms)
        self._redis = EdgeLog(log)
        self._stream = EdgeLog(log, "stream refused", "stream accepted again")
        self._answered = False
        self._unconfirmed_at = 0.0
        self._failed_at = 0.0

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
        return bool(self._redis_reason) and not self._unconfirmed_at

    def trying(self) -> None:
        """Note that a slot tries now; while Redis is away, the others wait for what comes of it."""
        if self.redis_is_away:
            self.rest_until = monotonic() + _TRY_S

    def redis(self, error: RedisFault) -> None:
        """Note that Redis could not serve; raise `ConfigurationError` if it never did so."""
        fault = error.fault
        self._failed_at = monotonic()
        self._telemetry.redis_error(fault.code)
        self._unconfirmed_at = monotonic() if fault.code == UNCONFIRMED else 0.0
        if fault.remedy is Remedy.CONFIGURE and not self._answered:
            raise ConfigurationError(f"redis: {fault.reason}") from error
        self._redis.down(fault.code, fault.reason)
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

    def over(self, moved: int, began_at: float = inf) -> None:
        """Note that a pass went through.

        Only one that moved routes speaks for the stream, and for replicas that confirm again. One
        that *began* before another failed may have asked before Redis went away: it says nothing.
        """
        if began_at < self._failed_at:
            return
        since = self._unconfirmed_at
        if since and not moved and monotonic() - since < _UNCONFIRMED_S:
            return
        self._redis_works()
        if moved and self._stream_reason:
            self._stream.up()
            self._stream_reason = ""
        if not self._stream_reason:
            self._backoff.reset()

    def _redis_works(self) -> None:
        self._answered, self._unconfirmed_at = True, 0.0
        if self._redis_reason:
            self._redis.up()
            self._redis_reason = ""
            self.rest_until = 0.0
            self._turns.answered(self)
