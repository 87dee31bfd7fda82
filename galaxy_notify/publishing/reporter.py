"""Reports settled batches: one log line a second, and one for each failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import repeat
from typing import Any, Final

from galaxy_notify.publishing.batch import Decision
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.claimed import NEWER_FORMAT
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.leases import Correction
from galaxy_notify.redis_state.publish_call import Published
from galaxy_notify.redis_state.settlement import Publish, Settled
from galaxy_notify.redis_state.words import Word
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.summary import Summary

#: Answer word of settle → result in the metrics.
_RESULTS: Final[dict[str, str]] = {
    Word.PUBLISHED: "published",
    Word.RETRIED: "retried",
    Word.BURIED: "dead_lettered",
    Word.EXPIRED: "expired",
    Word.STALE: "conflict",
}
# Compared for every route: a constant costs less than a look at the enum.
_EXPIRED: Final = Word.EXPIRED
_PUBLISHED: Final = Word.PUBLISHED.value
_TRACED: Final = 16
_DEBUG: Final = 10


class Reporter:
    """Reports what the worker of one shard has settled."""

    def __init__(self, telemetry: Telemetry, keys: Keys, worker_id: str, max_attempts: int) -> None:
        """Prepare; *max_attempts* is the deployment's default for routes."""
        self._telemetry = telemetry
        self._max_attempts = max_attempts
        self._stream = keys.stream
        self._sums: dict[str, Summary] = {}
        fields = {"worker": worker_id, "shard": keys.shard, "stream": keys.stream}
        self.log = get_logger("publisher", **fields)

    def span(self, items: Sequence[Decision]) -> AbstractContextManager[object]:
        """Return the span around a settlement, linked to the traces of its notifications."""
        parents = [i.notification.traceparent for i in items[:_TRACED] if i.notification]
        return self._telemetry.publish_span(self._stream, len(items), parents)

    @property
    def logs_each_route(self) -> bool:
        """Whether each settled route has a line in the log."""
        return self.log.is_enabled_for(_DEBUG)

    def published(self, channel: str, published: Published, started_ns: int) -> None:
        """Count and log the routes that one script published; *started_ns* is epoch time."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for kind, count in published.types:
            counts[kind, _PUBLISHED, ""] += count
        lateness = [
            seconds
            for due, count in published.dues
            for seconds in repeat((published.now_ms - due) / 1000, count)
        ]
        parents = published.traceparents
        self._telemetry.published_span(self._stream, published.routes, parents, started_ns)
        self._note(channel, counts, lateness, {_PUBLISHED: published.routes})

    def settled(self, channel: str, items: Sequence[Decision], settled: Settled) -> None:
        """Count and log the answers of settle."""
        words = settled.words
        if words[_PUBLISHED] == len(items) and not self.logs_each_route:
            events = [item.outcome for item in items if isinstance(item.outcome, Publish)]
            kinds = Counter([event.kind.type for event in events])
            counts = {(kind, _PUBLISHED, ""): count for kind, count in kinds.items()}
            lateness = [(settled.now_ms - event.due_at_ms) / 1000 for event in events]
        else:
            counts, lateness = self._each(channel, items, settled)
        self._note(channel, counts, lateness, words)

    def _each(
        self, channel: str, items: Sequence[Decision], settled: Settled
    ) -> tuple[dict[tuple[str, str, str], int], list[float]]:
        """Log each answer that has a line of its own; return the counts, and the lateness."""
        counts: Counter[tuple[str, str, str]] = Counter()
        lateness: list[float] = []
        each_route = self.logs_each_route
        for item, answer in zip(items, settled.answers, strict=True):
            if (result := _result(item, answer)) is None:
                self._log_irregular(channel, item, answer)
                continue
            kind = item.notification.type if item.notification else "unknown"
            failed = item.failure.failure_class if item.failure else ""
            counts[kind, result, failed] += 1
            if result == _PUBLISHED and item.route:
                lateness.append((settled.now_ms - item.route.due_at_ms) / 1000)
            if item.failure or each_route:
                self._log_route(channel, item, answer, result)
        return counts, lateness

    def _note(
        self,
        channel: str,
        counts: Mapping[tuple[str, str, str], int],
        lateness_s: Sequence[float],
        words: Mapping[str, int],
    ) -> None:
        self._telemetry.batch_settled(channel, counts, lateness_s)
        self._sums.setdefault(channel, Summary()).add(words, max(lateness_s, default=0.0))
        self.log_sums()

    def log_sums(self, *, at_end: bool = False) -> None:
        """Log sums, at most one line a second for each channel; *at_end* logs the rest."""
        for channel, summed in self._sums.items():
            if summed.is_due(at_end=at_end):
                late = summed.latest_s
                self.log.info("batch settled", channel=channel, latest_s=late, **summed.take())

    def repositioned(self, channel: str, items: Sequence[Correction], words: Sequence[str]) -> None:
        """Log members that were moved to the index where they belong."""
        for item, word in zip(items, words, strict=True):
            fields = {"member": item.member, "index": item.target, "answer": word}
            self.log.warning("index entry repositioned", channel=channel, **fields)

    def abandoned(self, channel: str, count: int) -> None:
        """Count leases that expired without an outcome and were taken over."""
        self._telemetry.routes("abandoned", channel, count)
        self.log.warning("abandoned leases taken over", channel=channel, routes=count)

    def _log_irregular(self, channel: str, item: Decision, answer: Answer) -> None:
        if answer.word in (Word.RELEASED, Word.REFUSED) and not item.detail:
            return
        if answer.word in (Word.DROPPED, Word.MISSING):
            self._telemetry.routes("orphaned", channel)
        if item.detail == NEWER_FORMAT:
            self._telemetry.routes("postponed", channel)
        reason = item.detail or answer.detail
        event = "route released" if answer.word == Word.RELEASED else "route set aside"
        fields = {"member": item.member, "answer": answer.word, "reason": reason}
        self.log.warning(event, channel=channel, **fields)

    def _log_route(self, channel: str, item: Decision, answer: Answer, result: str) -> None:
        fields = _fields(item) | {"channel": channel}
        if item.route:
            fields["max_attempts"] = item.route.max_attempts or self._max_attempts
        if item.failure is None:
            self.log.debug("route settled", result=result, stream_id=answer.detail, **fields)
            return
        fields["failure_classification"] = item.failure.failure_class
        fields["failure_message"] = item.failure.message
        if result == "retried":
            due_at_ms = int(answer.detail)
            self.log.warning("route retried", next_attempt_at_ms=due_at_ms, **fields)
        elif result == "dead_lettered":
            self.log.warning("route dead-lettered", **fields)


def _result(item: Decision, answer: Answer) -> str | None:
    # An expired publish is counted once its expiry is settled.
    if answer.word == _EXPIRED and isinstance(item.outcome, Publish):
        return None
    return _RESULTS.get(answer.word)


def _fields(item: Decision) -> dict[str, Any]:
    fields: dict[str, Any] = {"member": item.member}
    if item.route:
        fields["attempt_number"] = item.route.attempts + 1
        fields["generation"] = item.route.generation
    if item.notification:
        fields["notification_type"] = item.notification.type
        fields["producer"] = item.notification.producer
        fields["idempotency_key"] = item.notification.idempotency_key
        fields["request_id"] = item.notification.request_id
        fields["trace_id"] = item.notification.trace_id
    return fields
