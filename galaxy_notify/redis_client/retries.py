"""One way to wait out trouble: when a failed call is tried again, and what is logged meanwhile.

`Retry` decides and needs neither loop nor thread, so everything that calls Redis shares it; only
the wait differs: `async_retries` waits in a loop, a thread waits for ``left_s()`` on an event of
its own, and the slots of a worker rest until ``retry_at``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from random import uniform
from time import monotonic
from typing import Final, NamedTuple

from galaxy_notify.backoff import OutageBackoff
from galaxy_notify.redis_client.faults import Fault, Remedy
from galaxy_notify.telemetry.outage import EdgeLog

#: How long the pauses of a loop grow.
LONGEST_MS: Final = 5000
#: Pauses of a caller who waits: every script is safe to run twice, so a short fault stays here.
SHORT_PAUSES_S: Final = (0.02, 0.1, 0.4)
# A person has to act first.
_CONFIGURE_S: Final = 30.0
#: Two attempts of a node a second, however many loops there are.
_APART_S: Final = 0.5
#: An attempt that got no answer in this time no longer keeps the other slots from theirs: longer
#: than its connection, its login and its call may take together, or they would try beside its end.
_ATTEMPT_S: Final = 16.0
_REFRESH_APART_S: Final = 0.5


class RetryPolicy(NamedTuple):
    """The pauses between attempts, drawn at random up to a bound that doubles each time.

    The bound grows from *shortest_ms* to *longest_ms*. The first retry is made *first_pause_s* or
    more after the failure: 0, because an outage may be a blink. Each further one is made
    *least_pause_s* or more after the one before it failed.
    """

    longest_ms: int = LONGEST_MS
    first_pause_s: float = 0.0
    least_pause_s: float = 0.0
    shortest_ms: int = 50


USUAL: Final = RetryPolicy()


class OutageLog:
    """Logs one outage once, however many loops meet it; it ends with the last of them."""

    def __init__(self, edges: EdgeLog) -> None:
        self._edges = edges
        self._down: set[object] = set()

    def down(self, who: object, fault: Fault) -> bool:
        """Record a failed call of a loop; return whether it was logged."""
        self._down.add(who)
        return self._edges.down(fault.code, fault.reason)

    def up(self, who: object) -> None:
        """Record an answer to a loop that was down."""
        self._down.discard(who)
        if not self._down:
            self._edges.up()


class _Turn(NamedTuple):
    node: str
    at: float


class Stagger:
    """Keeps the attempts of a process at each node apart while that does not answer.

    Loops that wait for one node take turns; those of another node wait for none of them.
    """

    def __init__(self, apart_s: float = _APART_S) -> None:
        self._apart_s = apart_s
        self._turns: dict[Retry, _Turn] = {}

    def turn(self, retry: Retry, pause_s: float) -> float:
        """Return when a loop may try: after its pause, and not just when another one does.

        A turn that is yet to come stays, however many calls of the same loop fail meanwhile.
        """
        node, now = retry.node(), monotonic()
        at = self._turns[retry].at if retry in self._turns else 0.0
        if at <= now:
            at = now + pause_s
            others = (t.at for r, t in self._turns.items() if r is not retry and t.node == node)
            for other in sorted(others):
                if abs(other - at) < self._apart_s:
                    at = other + self._apart_s
        self._turns[retry] = _Turn(node, at)
        return at

    def release(self, retry: Retry) -> None:
        """Let all try now that failed at the same node, or that the node which answered serves."""
        here = retry.node()
        failed_at = self._turns.pop(retry, _Turn(here, 0.0)).node
        for other, turn in list(self._turns.items()):
            if turn.node == failed_at or other.node() == here:
                del self._turns[other]
                other.release()


class Retry:
    """When one loop may call Redis again; the slots of a shard share one of these."""

    def __init__(
        self,
        log: OutageLog,
        stagger: Stagger,
        policy: RetryPolicy = USUAL,
        node: Callable[[], str] = str,
        wake: Callable[[], object] = bool,
    ) -> None:
        """Prepare; *node* returns which node is asked now, as far as there are several.

        *wake* is called when ``retry_at`` has become now, because Redis has answered.
        """
        #: When the next attempt may be made, by the monotonic clock; 0 is now.
        self.retry_at = 0.0
        self.is_down = False
        self._log = log
        self._stagger = stagger
        self._policy = policy
        self.node = node
        self._wake = wake
        self._backoff = OutageBackoff(policy.shortest_ms, policy.longest_ms)
        self._failed_at = -inf

    def left_s(self) -> float:
        """Return how long to wait before the next attempt."""
        return max(0.0, self.retry_at - monotonic())

    def attempt(self) -> None:
        """Record that one slot tries now: while Redis is away, the others wait for its outcome."""
        if self.is_down:
            self.retry_at = monotonic() + _ATTEMPT_S

    def failed(self, fault: Fault) -> bool:
        """Record a failed call, and delay the next one; return whether it was logged."""
        least_s = self._policy.least_pause_s if self.is_down else self._policy.first_pause_s
        if fault.remedy is Remedy.CONFIGURE:
            least_s = _CONFIGURE_S
        self.is_down = True
        self._failed_at = monotonic()
        self.retry_at = self._stagger.turn(self, max(self._backoff.next() / 1000, least_s))
        return self._log.down(self, fault)

    def recovered(self, began_at: float = inf) -> None:
        """Record that a call was answered.

        One that *began* before another one failed may have asked before Redis went away: it says
        nothing.
        """
        if not self.is_down or began_at < self._failed_at:
            return
        self.is_down = False
        self._backoff.reset()
        self._log.up(self)
        self._stagger.release(self)
        self.release()

    def release(self) -> None:
        """Try now: the node that this loop waits for has answered."""
        self.retry_at = 0.0
        self._wake()


class RefreshLimiter:
    """Keeps refreshes of the primary apart, where each call of a caller may ask for one."""

    def __init__(self) -> None:
        self._refreshed_at = -inf

    def may_refresh(self) -> bool:
        """Return whether it is time for one; then it counts as done."""
        now = monotonic()
        if now - self._refreshed_at < _REFRESH_APART_S:
            return False
        self._refreshed_at = now
        return True


def jittered(pause_s: float) -> float:
    """Return how long to pause: callers that failed together do not try again together."""
    return uniform(0.5, 1.0) * pause_s  # no secret
