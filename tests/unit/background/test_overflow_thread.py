"""The thread that moves the overflow to the disk: what it does where the disk is full."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any, cast

from galaxy_notify.background.bounded_queue import BoundedQueue
from galaxy_notify.background.overflow_thread import OverflowThread
from tests.support.wait import wait_until


class _FullDisk:
    """A spill whose log fills the disk until it is synced."""

    def __init__(self) -> None:
        self.is_full = True

    def append(self, intents: Sequence[bytes]) -> None:
        """Take intents, if there is room."""
        del intents
        if self.is_full:
            raise OSError(errno.ENOSPC, "no room")

    def sync(self) -> None:
        """Empty the log."""
        self.is_full = False


def test_full_disk__is_synced_though_it_takes_nothing() -> None:
    """Of intents that were sent the log may be full, and only a sync makes room for others."""
    queue: Any = BoundedQueue(capacity=4, capacity_bytes=1000)
    thread = OverflowThread(queue, cast("Any", _FullDisk()), batch=2)
    for _ in range(4):
        queue.put(b"intent")
    thread.start()
    try:
        wait_until(lambda: queue.stats().spilled, "the disk is used again")
    finally:
        thread.stop()
        queue.end()
        thread.join()
