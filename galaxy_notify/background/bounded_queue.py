"""The queue of the sender thread: limited in number and in bytes, with exact counts."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Final

from galaxy_notify.background.stats import DropReason, Stats

# Half of the queue is free for new intents while the other half is written to the disk.
_OVERFLOWS_AT: Final = 0.5
# Seconds for which `end` waits for a write to the disk in progress.
_DISK_S: Final = 2.0


class BoundedQueue:
    """Moves each intent from one state to the next in one step; safe to share between threads.

    Callers put; the sender thread takes and settles. The overflow thread moves the oldest to the
    disk; the sender thread takes those on the disk first.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        *,
        block_s: float = 0.0,
        found: int = 0,
    ) -> None:
        """Prepare an empty queue; *found* is the number of intents already on the disk."""
        self._capacity, self._capacity_bytes = capacity, capacity_bytes
        self._block_s = block_s
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._overflow = threading.Condition(self._lock)
        self._sender_asleep = self._overflow_asleep = False
        self._waiters: deque[SimpleQueue[None]] = deque()
        self._intents: deque[bytes] = deque()
        self._bytes = 0
        self._is_spilling = False
        self._closed = self._ended = False
        #: Whether the last write to the disk failed.
        self.spill_fails = False
        self._found = found
        self._spilled = found
        self._in_flight: list[bytes] = []
        self._answered: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[DropReason] = Counter()

    # --- callers

    def put(self, packed: bytes) -> bool:
        """Add an intent, or count it as dropped; wait for room for at most `block_s`."""
        size = len(packed)
        with self._lock:
            if not self._closed and self._fits(size):
                self._append(packed)
                return True
            if reason := self._drop_reason(size, self._block_s):
                self._dropped[reason] += 1
                return False
        return self._wait_for_room(packed)

    def _append(self, packed: bytes) -> None:
        # No signal can interrupt between these two lines.
        self._bytes += len(packed)
        self._intents.append(packed)
        if self._sender_asleep:
            self._sender_asleep = False
            self._work.notify()
        if self._overflow_asleep and self._overflows():
            self._overflow_asleep = False
            self._overflow.notify()

    def _fits(self, size: int) -> bool:
        room = self._capacity_bytes - self._bytes
        return len(self._intents) < self._capacity and size <= room

    def _drop_reason(self, size: int, left_s: float) -> DropReason | None:
        """Return why an intent that does not fit is dropped; None if its caller may wait."""
        if self._closed:
            return "closed"
        if self._block_s and size <= self._capacity_bytes:
            return None if left_s > 0 else "deadline"
        return "spill_failed" if self.spill_fails else "queue_full"

    def _wait_for_room(self, packed: bytes) -> bool:
        """Wait without the lock: a caller interrupted by Ctrl-C has added nothing."""
        size, end, wakeup = len(packed), time.monotonic() + self._block_s, SimpleQueue[None]()
        try:
            while True:
                with self._lock:
                    if not self._closed and self._fits(size):
                        self._append(packed)
                        return True
                    left_s = end - time.monotonic()
                    if reason := self._drop_reason(size, left_s):
                        self._dropped[reason] += 1
                        return False
                    self._waiters.append(wakeup)
                with suppress(Empty):
                    wakeup.get(timeout=left_s)
        finally:
            with suppress(ValueError):
                self._waiters.remove(wakeup)

    # --- the sender thread

    def take(self, most: int, most_bytes: int, wait_s: float = 0.0) -> int:
        """Take the oldest intents and return their number; 0 while older ones are on the disk."""
        with self._lock:
            if wait_s and not self._has_work():
                self._sender_asleep = True
                self._work.wait(wait_s)
                self._sender_asleep = False
            if self._spilled or self._is_spilling or self._ended:
                return 0
            taken = self._pop(fitting(self._intents, most, most_bytes))
            self._in_flight += taken
            return len(taken)

    def _has_work(self) -> bool:
        if self._is_spilling and not self._spilled:
            return False
        return bool(self._spilled or self._intents or self._closed)

    def take_from_disk(self, intents: list[bytes]) -> None:
        """Take intents that were read from the disk."""
        with self._lock:
            if not self._ended:
                self._spilled -= len(intents)
                self._in_flight += intents

    def count_lost(self, intents: int) -> None:
        """Count intents that were on the disk and can no longer be read."""
        with self._lock:
            self._spilled -= intents
            self._dropped["spill_corrupt"] += intents

    @property
    def in_flight(self) -> list[bytes]:
        """The intents that are being sent."""
        with self._lock:
            return list(self._in_flight)

    def settle(
        self, answers: Mapping[str, int], refused: Mapping[str, int], left: list[bytes]
    ) -> bool:
        """Count answers by status and refusals by code; *left* stays in flight.

        Returns False if it comes after the end, and counts nothing.
        """
        with self._lock:
            if self._ended:
                return False
            self._answered.update(answers)
            self._refused.update(refused)
            self._in_flight = left
            return True

    # --- the overflow thread

    def overflow(self, most: int, most_bytes: int, wait_s: float) -> list[bytes]:
        """Return the oldest intents, if the queue overflows or older ones are on the disk.

        They stay in the queue until `spill_succeeded` or `spill_failed` is called.
        """
        with self._lock:
            if not self._overflows() and not self._ended:
                self._overflow_asleep = True
                self._overflow.wait(wait_s)
                self._overflow_asleep = False
            if self._ended or not self._overflows():
                return []
            self._is_spilling = True
            return list(islice(self._intents, fitting(self._intents, most, most_bytes)))

    def spill_succeeded(self, intents: int) -> None:
        """Record that the oldest intents are on the disk now."""
        with self._lock:
            self._is_spilling = False
            self.spill_fails = False
            self._pop(intents)
            self._spilled += intents
            self._work.notify()

    def spill_failed(self) -> None:
        """Record that the write failed: all intents stay in the queue."""
        with self._lock:
            self._is_spilling = False
            self.spill_fails = True
            self._work.notify()

    def _overflows(self) -> bool:
        if self._spilled:
            return bool(self._intents)
        limit = _OVERFLOWS_AT
        return (
            len(self._intents) >= self._capacity * limit
            or self._bytes >= self._capacity_bytes * limit
        )

    # --- the end

    def close(self) -> None:
        """Refuse new intents, and wake the callers that wait for room."""
        with self._lock:
            self._closed = True
            self._wake_waiters(len(self._waiters))
            self._work.notify_all()
            self._overflow.notify_all()

    def end(self) -> tuple[list[bytes], list[bytes]]:
        """Return the intents in flight and those that wait; only `count_leftovers` may follow."""
        with self._lock:
            self._ended = True
            self._work.notify_all()
            self._overflow.notify_all()
            self._work.wait_for(lambda: not self._is_spilling, _DISK_S)
            return list(self._in_flight), list(self._intents)

    def count_leftovers(self, reason: DropReason | None) -> None:
        """Count the intents that `end` returned: as dropped for *reason*, or as spilled."""
        with self._lock:
            count = len(self._in_flight) + len(self._pop(len(self._intents)))
            self._in_flight = []
            if reason is None:
                self._spilled += count
            elif count:
                self._dropped[reason] += count

    @property
    def is_done(self) -> bool:
        """Whether the queue is closed and no intent is left."""
        with self._lock:
            return self._closed and not (self._intents or self._spilled or self._in_flight)

    @property
    def spilled(self) -> int:
        """How many intents wait on the disk."""
        with self._lock:
            return self._spilled

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def stats(self) -> Stats:
        """Return the counts of all states, at one moment."""
        with self._lock:
            return Stats(
                self._handed_in(),
                self._found,
                self._answered["accepted"],
                self._answered["duplicate"],
                dict(self._refused),
                {str(reason): count for reason, count in self._dropped.items()},
                self._spilled,
                len(self._intents),
                len(self._in_flight),
            )

    def _handed_in(self) -> int:
        """Return how many intents callers have added, as the sum of all states."""
        ended = (self._answered, self._refused, self._dropped)
        here = self._spilled + len(self._intents) + len(self._in_flight) + len(self._waiters)
        return sum(sum(counter.values()) for counter in ended) + here - self._found

    def _pop(self, count: int) -> list[bytes]:
        popped = [self._intents.popleft() for _ in range(count)]
        self._bytes -= sum(map(len, popped))
        self._wake_waiters(count)
        return popped

    def _wake_waiters(self, count: int) -> None:
        """Wake the first callers that wait for room."""
        with suppress(IndexError):
            for _ in range(count if self._waiters else 0):
                self._waiters.popleft().put(None)


def fitting(intents: Iterable[bytes], most: int, most_bytes: int) -> int:
    """Return how many of the first intents stay within both limits together, at least 1."""
    count = size = 0
    for packed in islice(intents, most):
        size += len(packed)
        if count and size > most_bytes:
            break
        count += 1
    return count
