"""The thread that writes what overflows the queue of a background notifier to the disk."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import Final

from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.background.spill import Spill
from galaxy_notify.telemetry.logs import get_logger
from galaxy_notify.telemetry.outage import EdgeLog

# So many are framed before the callers have their turn again.
_STEP: Final = 128
_STEP_BYTES: Final = 1 << 20
# What comes one by one is written together.
_LINGER_S: Final = 0.005
_SYNC_S: Final = 1.0


class Spiller:
    """Moves the oldest parcels to the disk while there are too many; the disk keeps them in 1 s."""

    def __init__(self, queue: BoundedQueue, spill: Spill) -> None:
        """Prepare; `start` starts the thread."""
        self._queue, self._spill = queue, spill
        self._edge = EdgeLog(get_logger("background"), "spill unusable", "spill usable again")
        self._stop = Event()
        self._unsynced_since: float | None = None
        self._thread = Thread(target=self._run, name="gn-spiller", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread soon."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        while not self._stop.is_set() and not self._queue.ended:
            self.run_once()

    def run_once(self) -> None:
        """Move some parcels, or wait a moment for too many."""
        parcels = self._queue.overflow(_STEP, _STEP_BYTES, _SYNC_S)
        try:
            if parcels:
                self._move(parcels)
            self._sync()
        except OSError as error:
            self._edge.down("disk", error.strerror or type(error).__name__)
            self._stop.wait(_SYNC_S)

    def _move(self, parcels: list[bytes]) -> None:
        moved = False
        try:
            self._spill.append(parcels)
            moved = True
        finally:
            if moved:
                self._queue.moved(len(parcels))
            else:
                self._queue.not_moved()
        self._edge.up()
        if self._unsynced_since is None:
            self._unsynced_since = time.monotonic()
        if len(parcels) < _STEP:
            self._stop.wait(_LINGER_S)

    def _sync(self) -> None:
        since = self._unsynced_since
        if since is not None and time.monotonic() - since >= _SYNC_S:
            self._unsynced_since = None
            self._spill.sync()
