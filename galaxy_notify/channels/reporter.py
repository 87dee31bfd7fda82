"""Reports what an external channel sends: metrics, and one log line for each failure."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from galaxy_notify.channels.attempt import Attempt
from galaxy_notify.channels.endings import DueRoute, Ending
from galaxy_notify.channels.kind import Target
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.leases import Correction
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog
from galaxy_notify.telemetry.summary import Summary

#: Answer word of ``route_end`` → result in the metrics.
_RESULTS: Final[dict[str, str]] = {
    Word.DELIVERED: "delivered",
    Word.SKIPPED: "skipped",
    Word.RETRIED: "retried",
    Word.BURIED: "dead_lettered",
    Word.EXPIRED: "expired",
    Word.STALE: "conflict",
}
_DEBUG: Final = 10
#: Longer than a route waits for what is missing on our side, before it is claimed again.
_OVER_S: Final = 65.0


class ChannelReporter:
    """Reports for one channel of a process. It never logs an address."""

    def __init__(self, telemetry: Telemetry, channel: str, worker_id: str) -> None:
        self.channel = channel
        self._telemetry = telemetry
        self._log = get_logger("channel", worker=worker_id, channel=channel)
        self._logs_each = self._log.is_enabled_for(_DEBUG)
        self._summary = Summary()
        waiting = EdgeLog(self._log, "routes waiting", "routes sent again")
        own = EdgeLog(self._log, "sends failing here", "sends possible again")
        self._waiting, self._own = _Trouble(waiting), _Trouble(own)

    def attempted(self, due: DueRoute, target: Target, attempt: Attempt, seconds: float) -> None:
        """Count an attempt at one address, and log it if it failed."""
        self._own.up()
        self._waiting.up()
        self._telemetry.delivery_attempted(self.channel, attempt.outcome, attempt.reason, seconds)
        if attempt.outcome == "delivered":
            return
        fields = _fields(due) | {"contact": target.id, "outcome": attempt.outcome}
        fields |= {"reason": attempt.reason, "detail": attempt.detail, "status": attempt.status}
        self._log.warning("delivery failed", took_s=round(seconds, 3), **fields)

    def failed_here(self, error: OSError) -> None:
        """Log that this machine cannot send: it has no more sockets or memory."""
        self._own.down(type(error).__name__, error.strerror or "")

    def not_disabled(self, due: DueRoute, error: Exception) -> None:
        """Log that a contact stays enabled that wants nothing any more."""
        self._log.warning("contact not disabled", member=due.member, reason=str(error))

    def ended(self, ending: Ending, answer: Answer, now_ms: int) -> None:
        """Count and log how a route ended, by the server's clock."""
        result = _RESULTS.get(answer.word)
        if result is None:
            self._log_irregular(ending, answer)
            return
        kind = ending.notification.type if ending.notification else "unknown"
        failure = ending.failure.failure_class if ending.failure else ""
        late: list[float] = []
        if result == "delivered" and ending.route:
            late.append((now_ms - ending.route.due_at_ms) / 1000)
        self._telemetry.batch_settled(self.channel, {(kind, result, failure): 1}, late)
        self._summary.add({result: 1})
        self.log_sums()
        if result == "dead_lettered":
            self._log.warning("route dead-lettered", **_ended(ending))
        elif self._logs_each:
            self._log.debug("route settled", result=result, **_ended(ending))

    def repositioned(self, correction: Correction, word: str) -> None:
        """Log a member that was moved to the index where it belongs."""
        fields = {"member": correction.member, "index": correction.target, "answer": word}
        self._log.warning("index entry repositioned", **fields)

    def abandoned(self, count: int) -> None:
        """Count leases that expired without an outcome and were taken over."""
        self._telemetry.routes("abandoned", self.channel, count)
        self._log.warning("abandoned leases taken over", routes=count)

    def outcome_kept(self, ending: Ending) -> None:
        """Log that an outcome could not be recorded while its lease lasted."""
        self._log.warning("outcome kept until the route is claimed again", **_ended(ending))

    def log_sums(self, *, at_end: bool = False) -> None:
        """Log sums, at most one line a second; *at_end* logs the rest."""
        if self._summary.is_due(at_end=at_end):
            sums = self._summary.take()
            sums.pop("batches")
            self._log.info("routes ended", **sums)

    def _log_irregular(self, ending: Ending, answer: Answer) -> None:
        if answer.word == Word.RELEASED:
            if ending.detail:
                self._waiting.down(ending.detail, ending.detail)
            return
        if answer.word in (Word.DROPPED, Word.MISSING):
            self._telemetry.routes("orphaned", self.channel)
        reason = ending.detail or answer.detail
        fields = {"member": ending.member, "answer": answer.word, "reason": reason}
        self._log.warning("route set aside", **fields)


class _Trouble:
    """Trouble that meets some routes while others are sent: it ends when none has met it lately."""

    def __init__(self, edges: EdgeLog, clock: Callable[[], float] = monotonic) -> None:
        self._edges = edges
        self._clock = clock
        self._met_at = 0.0

    def down(self, code: str, reason: str) -> None:
        """Record that a route met it."""
        self._met_at = self._clock()
        self._edges.down(code, reason)

    def up(self) -> None:
        """Record that a route was sent."""
        if self._edges.is_down and self._clock() - self._met_at > _OVER_S:
            self._edges.up()


def _ended(ending: Ending) -> dict[str, Any]:
    fields = _fields(ending)
    if ending.failure:
        fields["failure_classification"] = ending.failure.failure_class
        fields["failure_message"] = ending.failure.message
    return fields


def _fields(of: DueRoute | Ending) -> dict[str, Any]:
    fields: dict[str, Any] = {"member": of.member}
    if of.route:
        fields["attempt_number"] = of.route.attempts + 1
        fields["generation"] = of.route.generation
    if of.notification:
        fields["notification_type"] = of.notification.type
        fields["producer"] = of.notification.producer
        fields["request_id"] = of.notification.request_id
        fields["trace_id"] = of.notification.trace_id
    return fields
