"""The thread that sends the queue of a background notifier to its target, batch after batch."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.background.options import BackgroundOptions
from galaxy_notify.background.spill import Spill
from galaxy_notify.background.target import Target
from galaxy_notify.errors import ConfigurationError, Invalid
from galaxy_notify.intake.receipts import Receipt
from galaxy_notify.intake.unknown import Unknown
from galaxy_notify.redis_client.faults import Fault, RedisFault, Remedy
from galaxy_notify.redis_client.retries import OutageLog, Retry, RetryPolicy, Stagger
from galaxy_notify.telemetry import Telemetry
from galaxy_notify.telemetry.logs import get_logger

_BATCH_BYTES: Final = 1 << 20
_WAIT_S: Final = 1.0
_REPORT_S: Final = 1.0
# A server gets at most two connections a second, and many producers do not reconnect together.
_RETRIES: Final = RetryPolicy(shortest_ms=800, first_pause_s=0.5, least_pause_s=0.5)


class BackgroundMetrics:
    """Reports to telemetry: answers at once, drops and waiting intents once a second."""

    def __init__(self, telemetry: Telemetry, queue: BoundedQueue) -> None:
        self._telemetry, self._queue = telemetry, queue
        self._counted_dropped: Counter[str] = Counter()
        self._reported_at = 0.0

    def answered(self, answers: Mapping[str, int], refused: Mapping[str, int]) -> None:
        self._telemetry.accepted(answers.get("accepted", 0), {}, answers.get("duplicate", 0))
        for code, count in refused.items():
            self._telemetry.refused(code, count)

    def report(self, *, now: bool = False) -> None:
        """Report drops and waiting intents, at most once a second unless *now*."""
        if not now and time.monotonic() - self._reported_at < _REPORT_S:
            return
        self._reported_at = time.monotonic()
        stats = self._queue.stats()
        dropped = Counter(stats.dropped)
        waiting = {"queued": stats.queued, "spilled": stats.spilled, "in flight": stats.in_flight}
        self._telemetry.background(dropped - self._counted_dropped, waiting)
        self._counted_dropped = dropped


class SenderThread(threading.Thread):
    """Sends waiting intents, oldest first, one batch at a time; repeats those without an answer."""

    def __init__(
        self,
        queue: BoundedQueue,
        target: Target,
        spill: Spill | None,
        options: BackgroundOptions,
        metrics: BackgroundMetrics,
    ) -> None:
        super().__init__(name="gn-sender", daemon=True)
        self._queue, self._target, self._spill = queue, target, spill
        self._metrics = metrics
        self._batch, self._on_refused = options.batch, options.on_refused
        self._log = get_logger("background")
        self._retry = Retry(OutageLog(target.outages()), Stagger(), _RETRIES)
        self._stopping = threading.Event()
        self._fetching = threading.Lock()

    def stop(self) -> None:
        """End the thread after its current call; it takes no more intents."""
        with self._fetching:
            self._stopping.set()

    def run(self) -> None:
        """Send until stopped, or until the queue is closed and empty."""
        try:
            while not self._stopping.is_set() and not self._queue.is_done:
                self._run_once()
                self._metrics.report()
        finally:
            self._target.close()

    def _run_once(self) -> None:
        """Send one batch, or wait a moment for one."""
        try:
            if not self._retry.left_s():
                with self._fetching:
                    self._fetch()
                if in_flight := self._queue.in_flight:
                    self._send(in_flight)
        except (RedisFault, ConfigurationError) as error:
            fault = error.fault.code if isinstance(error, RedisFault) else "configuration"
            self._failed(fault, str(error))
        except Exception as error:  # the thread must survive; intents in flight are kept
            if self._failed("defect", type(error).__name__):
                self._log.exception("background batch failed")
        self._stopping.wait(self._retry.left_s())

    def _failed(self, code: str, reason: str) -> bool:
        self._target.recover()
        return self._retry.failed(Fault(code, Remedy.RETRY, reason))

    def _fetch(self) -> None:
        """Take intents, up to a batch; those on the disk are older than those in memory."""
        in_flight = self._queue.in_flight
        room = self._batch - len(in_flight)
        if room <= 0 or self._stopping.is_set():
            return
        if self._queue.take(room, _BATCH_BYTES, 0.0 if in_flight else _WAIT_S):
            return
        spilled = self._queue.spilled
        if self._spill is None or not spilled:
            return
        if intents := self._spill.read(min(room, spilled), _BATCH_BYTES):
            self._queue.take_from_disk(intents)
        else:
            self._queue.count_lost(spilled)
            self._log.error("spilled intents lost", count=spilled, path=self._spill.path)

    def _send(self, in_flight: list[bytes]) -> None:
        results = list(zip(in_flight, self._target.send(in_flight), strict=True))
        unknown = [(packed, one.reason) for packed, one in results if isinstance(one, Unknown)]
        left = [packed for packed, _ in unknown]
        known = [(packed, receipt) for packed, receipt in results if isinstance(receipt, Receipt)]
        answers = Counter(str(receipt.status) for _, receipt in known if not receipt.error)
        refused = Counter(receipt.error.code for _, receipt in known if receipt.error)
        if not self._queue.settle(answers, refused, left):
            return
        if self._spill is not None and not left:
            self._spill.settle()
        self._metrics.answered(answers, refused)
        self._report_refused([pair for pair in known if pair[1].error])
        if unknown and not known:
            _, reason = unknown[0]
            self._failed(reason.partition(":")[0], reason)
        else:
            self._retry.recovered()

    def _report_refused(self, refusals: Sequence[tuple[bytes, Receipt]]) -> None:
        """Log refused intents in one line, and call `on_refused` for each."""
        for first in refusals[:1]:
            self._log.warning(
                "intents refused",
                count=len(refusals),
                notification_id=first[1].notification_id,
                reason=first[1].error and f"{first[1].error.field}: {first[1].error.message}",
            )
        for packed, receipt in refusals:
            self._call(packed, receipt)

    def _call(self, packed: bytes, receipt: Receipt) -> None:
        if self._on_refused is None:
            return
        try:
            fields = self._target.fields(packed)
        except Invalid:
            fields = {}
        try:
            self._on_refused(fields, receipt)
        except Exception:  # a callback may raise anything
            self._log.exception("callback failed", callback="on_refused")
