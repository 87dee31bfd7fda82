"""Where parcels wait for the drainer: bounded by number and by bytes, and counted exactly."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Final

from galaxy_notify.intake.tally import DropReason, Stats

# Half of the queue is left for what comes in while the other half is written to the disk.
_OVERFLOWS_AT: Final = 0.5
# How long the end waits for a write to the disk that is under way.
_DISK_S: Final = 2.0


class BoundedQueue:
    """Moves each parcel from one place to the next in one step; safe to share between threads.

    Callers put, the drainer takes and settles. A spiller moves what overflows to the disk; while
    anything lies there, it is older than what waits here, and the drainer takes it first.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        *,
        block_s: float = 0.0,
        found: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare an empty queue; *found* parcels are on the disk already."""
        self._capacity, self._capacity_bytes = capacity, capacity_bytes
        self._block_s, self._clock = block_s, clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._overflow = threading.Condition(self._lock)
        self._drainer_asleep = self._spiller_asleep = False
        self._waiting_for_room = 0
        self._parcels: deque[bytes] = deque()
        self._bytes = 0
        self._moving = False
        self._closed = self._ended = False
        #: The disk took nothing when it was last asked to.
        self.spill_fails = False
        self._enqueued, self._found = 0, found
        self._spilled = found
        self._hand: list[bytes] = []
        self._answered: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[DropReason] = Counter()

    # --- callers

    def put(self, parcel: bytes) -> bool:
        """Take a parcel in, or count it as dropped; wait for room no longer than allowed."""
        size = len(parcel)
        with self._lock:
            self._enqueued += 1
            if self._closed or not self._fits(size):
                reason = self._why_not(size)
                if reason:
                    self._dropped[reason] += 1
                    return False
            self._parcels.append(parcel)
            self._bytes += size
            if self._drainer_asleep:
                self._drainer_asleep = False
                self._work.notify()
            if self._spiller_asleep and self._overflows():
                self._spiller_asleep = False
                self._overflow.notify()
            return True

    def _fits(self, size: int) -> bool:
        room = self._capacity_bytes - self._bytes
        return len(self._parcels) < self._capacity and size <= room

    def _why_not(self, size: int) -> DropReason | None:
        """Wait for room as long as a caller may; return why there is none."""
        if self._block_s and size <= self._capacity_bytes:
            end = self._clock() + self._block_s
            while not self._closed and not self._fits(size):
                if (left := end - self._clock()) <= 0:
                    return "deadline"
                self._wait_for_room(left)
        if self._closed:
            return "closed"
        if self._fits(size):
            return None
        return "spill_failed" if self.spill_fails else "queue_full"

    def _wait_for_room(self, seconds: float) -> None:
        self._waiting_for_room += 1
        try:
            self._room.wait(seconds)
        except BaseException:
            # Whoever is interrupted, by Ctrl-C say, has handed nothing in.
            self._enqueued -= 1
            raise
        finally:
            self._waiting_for_room -= 1

    # --- the drainer

    def take(self, most: int, most_bytes: int, wait_s: float = 0.0) -> int:
        """Take the oldest parcels in hand, at least one; none while older ones are on the disk."""
        with self._lock:
            if wait_s and not self._has_work():
                self._drainer_asleep = True
                self._work.wait(wait_s)
                self._drainer_asleep = False
            if self._spilled or self._moving or self._ended:
                return 0
            taken = self._pop(fitting(self._parcels, most, most_bytes))
            self._hand += taken
            return len(taken)

    def _has_work(self) -> bool:
        if self._moving and not self._spilled:
            return False
        return bool(self._spilled or self._parcels or self._closed)

    def take_back(self, parcels: list[bytes]) -> None:
        """Take parcels in hand that were read from the disk."""
        with self._lock:
            if not self._ended:
                self._spilled -= len(parcels)
                self._hand += parcels

    def lose(self, parcels: int) -> None:
        """Count parcels that were on the disk and cannot be read any more."""
        with self._lock:
            self._spilled -= parcels
            self._dropped["spill_corrupt"] += parcels

    @property
    def hand(self) -> list[bytes]:
        """Return the parcels that are being sent."""
        with self._lock:
            return list(self._hand)

    def settle(
        self, answers: Mapping[str, int], refused: Mapping[str, int], left: list[bytes]
    ) -> bool:
        """Count what was answered, by status, and refused, by code; *left* stays in hand.

        False if it comes too late to count.
        """
        with self._lock:
            if self._ended:
                return False
            self._answered.update(answers)
            self._refused.update(refused)
            self._hand = left
            return True

    # --- the spiller

    def overflow(self, most: int, most_bytes: int, wait_s: float) -> list[bytes]:
        """Return the oldest parcels if there are too many, or older ones are on the disk.

        They stay here until `moved` or `not_moved` is called.
        """
        with self._lock:
            if not self._overflows() and not self._ended:
                self._spiller_asleep = True
                self._overflow.wait(wait_s)
                self._spiller_asleep = False
            if self._ended or not self._overflows():
                return []
            self._moving = True
            return list(islice(self._parcels, fitting(self._parcels, most, most_bytes)))

    def moved(self, parcels: int) -> None:
        """Note that the oldest parcels are on the disk now."""
        with self._lock:
            self._moving = False
            self.spill_fails = False
            self._pop(parcels)
            self._spilled += parcels
            self._work.notify()

    def not_moved(self) -> None:
        """Note that the disk took nothing: everything is where it was."""
        with self._lock:
            self._moving = False
            self.spill_fails = True
            self._work.notify()

    def _overflows(self) -> bool:
        if self._spilled:
            return bool(self._parcels)
        share = _OVERFLOWS_AT
        return (
            len(self._parcels) >= self._capacity * share
            or self._bytes >= self._capacity_bytes * share
        )

    # --- the end

    def close(self) -> None:
        """Take nothing more; whoever waits is told."""
        with self._lock:
            self._closed = True
            for condition in (self._room, self._work, self._overflow):
                condition.notify_all()

    def end(self) -> tuple[list[bytes], list[bytes]]:
        """Return what is in hand and what waits here; only `left` changes anything from now on."""
        with self._lock:
            self._ended = True
            self._work.notify_all()
            self._overflow.notify_all()
            self._work.wait_for(lambda: not self._moving, _DISK_S)
            return list(self._hand), list(self._parcels)

    def left(self, reason: DropReason | None) -> None:
        """Count what the end returned: as dropped for a reason, else as spilled."""
        with self._lock:
            count = len(self._hand) + len(self._pop(len(self._parcels)))
            self._hand = []
            if reason is None:
                self._spilled += count
            elif count:
                self._dropped[reason] += count

    @property
    def is_done(self) -> bool:
        """Tell whether it is closed and nothing is left to do."""
        with self._lock:
            return self._closed and not (self._parcels or self._spilled or self._hand)

    @property
    def spilled(self) -> int:
        """Return how many parcels wait on the disk."""
        with self._lock:
            return self._spilled

    @property
    def ended(self) -> bool:
        """Tell whether the end is over."""
        return self._ended

    def stats(self) -> Stats:
        """Return where everything is, at one moment."""
        with self._lock:
            return Stats(
                self._enqueued,
                self._found,
                self._answered["accepted"],
                self._answered["duplicate"],
                dict(self._refused),
                {str(reason): count for reason, count in self._dropped.items()},
                self._spilled,
                len(self._parcels),
                len(self._hand),
            )

    def _pop(self, count: int) -> list[bytes]:
        popped = [self._parcels.popleft() for _ in range(count)]
        self._bytes -= sum(map(len, popped))
        if self._waiting_for_room:
            self._room.notify(count)
        return popped


def fitting(parcels: Iterable[bytes], most: int, most_bytes: int) -> int:
    """Count the first parcels that stay within both bounds together, at least one."""
    count = size = 0
    for parcel in islice(parcels, most):
        size += len(parcel)
        if count and size > most_bytes:
            break
        count += 1
    return count
