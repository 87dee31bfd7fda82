"""The thread that writes the overflow of the queue of a background notifier to the disk."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import Final

from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.background.spill import Spill
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

_STEP_BYTES: Final = 1 << 20
# Seconds to wait for more, so that single intents are written together.
_LINGER_S: Final = 0.005
_SYNC_S: Final = 1.0


class OverflowThread(Thread):
    """Moves the oldest intents to the disk while the queue overflows; syncs it every second."""

    def __init__(self, queue: BoundedQueue, spill: Spill, batch: int) -> None:
        """Prepare to write *batch* intents together; `start` starts the thread."""
        super().__init__(name="gn-overflow", daemon=True)
        self._queue, self._spill, self._batch = queue, spill, batch
        self._edge = EdgeLog(get_logger("background"), "spill unusable", "spill usable again")
        self._stopping = Event()
        self._synced_at = 0.0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set() and not self._queue.ended:
            self._run_once()

    def _run_once(self) -> None:
        """Move some intents, or wait a moment for an overflow."""
        intents = self._queue.overflow(self._batch, _STEP_BYTES, _SYNC_S)
        try:
            try:
                if intents:
                    self._move(intents)
            finally:
                # Also where the disk takes nothing: of what was sent the log may fill it, and
                # only a sync empties the log.
                self._sync()
        except OSError as error:
            self._edge.down("disk", error.strerror or type(error).__name__)
            self._stopping.wait(_SYNC_S)

    def _sync(self) -> None:
        if time.monotonic() - self._synced_at >= _SYNC_S:
            self._synced_at = time.monotonic()
            self._spill.sync()

    def _move(self, intents: list[bytes]) -> None:
        try:
            self._spill.append(intents)
        except BaseException:
            self._queue.spill_failed()
            raise
        self._queue.spill_succeeded(len(intents))
        self._edge.up()
        if len(intents) < self._batch:
            self._stopping.wait(_LINGER_S)
