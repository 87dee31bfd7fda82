"""Where intents wait for the sender thread: bounded by number and by bytes, and counted exactly."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Final

from galaxy_notify.background.stats import DropReason, Stats

# Half of the queue is left for what comes in while the other half is written to the disk.
_OVERFLOWS_AT: Final = 0.5
# How long the end waits for a write to the disk that is under way.
_DISK_S: Final = 2.0


class BoundedQueue:
    """Moves each intent from one place to the next in one step; safe to share between threads.

    Callers put, the sender thread takes and settles. The overflow thread moves the oldest to the
    disk; while anything lies there, the sender thread takes that first.
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
        """Prepare an empty queue; *found* intents are on the disk already."""
        self._capacity, self._capacity_bytes = capacity, capacity_bytes
        self._block_s, self._clock = block_s, clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._overflow = threading.Condition(self._lock)
        self._sender_asleep = self._overflow_asleep = False
        self._waiting: deque[SimpleQueue[None]] = deque()
        self._intents: deque[bytes] = deque()
        self._bytes = 0
        self._moving = False
        self._closed = self._ended = False
        #: The disk took nothing when it was last asked to.
        self.spill_fails = False
        self._found = found
        self._spilled = found
        self._hand: list[bytes] = []
        self._answered: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._dropped: Counter[DropReason] = Counter()

    # --- callers

    def put(self, packed: bytes) -> bool:
        """Take an intent in, or count it as dropped; wait for room no longer than allowed."""
        size = len(packed)
        with self._lock:
            if not self._closed and self._fits(size):
                self._take_in(packed)
                return True
            if reason := self._why_not(size, self._block_s):
                self._dropped[reason] += 1
                return False
        return self._wait_for_room(packed)

    def _take_in(self, packed: bytes) -> None:
        # Nothing can interrupt it between these two.
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

    def _why_not(self, size: int, left_s: float) -> DropReason | None:
        """Return why an intent that does not fit is dropped; None where its caller may wait."""
        if self._closed:
            return "closed"
        if self._block_s and size <= self._capacity_bytes:
            return None if left_s > 0 else "deadline"
        return "spill_failed" if self.spill_fails else "queue_full"

    def _wait_for_room(self, packed: bytes) -> bool:
        """Wait without the lock: a caller that is interrupted (Ctrl-C) has handed nothing in."""
        size, end, turn = len(packed), self._clock() + self._block_s, SimpleQueue[None]()
        try:
            while True:
                with self._lock:
                    if not self._closed and self._fits(size):
                        self._take_in(packed)
                        return True
                    left = end - self._clock()
                    if reason := self._why_not(size, left):
                        self._dropped[reason] += 1
                        return False
                    self._waiting.append(turn)
                with suppress(Empty):
                    turn.get(timeout=left)
        finally:
            with suppress(ValueError):
                self._waiting.remove(turn)

    # --- the sender thread

    def take(self, most: int, most_bytes: int, wait_s: float = 0.0) -> int:
        """Take the oldest intents in hand, at least one; none while older ones are on the disk."""
        with self._lock:
            if wait_s and not self._has_work():
                self._sender_asleep = True
                self._work.wait(wait_s)
                self._sender_asleep = False
            if self._spilled or self._moving or self._ended:
                return 0
            taken = self._pop(fitting(self._intents, most, most_bytes))
            self._hand += taken
            return len(taken)

    def _has_work(self) -> bool:
        if self._moving and not self._spilled:
            return False
        return bool(self._spilled or self._intents or self._closed)

    def take_back(self, intents: list[bytes]) -> None:
        """Take intents in hand that were read from the disk."""
        with self._lock:
            if not self._ended:
                self._spilled -= len(intents)
                self._hand += intents

    def lose(self, intents: int) -> None:
        """Count intents that were on the disk and cannot be read any more."""
        with self._lock:
            self._spilled -= intents
            self._dropped["spill_corrupt"] += intents

    @property
    def hand(self) -> list[bytes]:
        """Return the intents that are being sent."""
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

    # --- the overflow thread

    def overflow(self, most: int, most_bytes: int, wait_s: float) -> list[bytes]:
        """Return the oldest intents if there are too many, or older ones are on the disk.

        They stay here until `moved` or `not_moved` is called.
        """
        with self._lock:
            if not self._overflows() and not self._ended:
                self._overflow_asleep = True
                self._overflow.wait(wait_s)
                self._overflow_asleep = False
            if self._ended or not self._overflows():
                return []
            self._moving = True
            return list(islice(self._intents, fitting(self._intents, most, most_bytes)))

    def moved(self, intents: int) -> None:
        """Note that the oldest intents are on the disk now."""
        with self._lock:
            self._moving = False
            self.spill_fails = False
            self._pop(intents)
            self._spilled += intents
            self._work.notify()

    def not_moved(self) -> None:
        """Note that the disk took nothing: everything is where it was."""
        with self._lock:
            self._moving = False
            self.spill_fails = True
            self._work.notify()

    def _overflows(self) -> bool:
        if self._spilled:
            return bool(self._intents)
        share = _OVERFLOWS_AT
        return (
            len(self._intents) >= self._capacity * share
            or self._bytes >= self._capacity_bytes * share
        )

    # --- the end

    def close(self) -> None:
        """Take nothing more, and wake the callers that wait for room."""
        with self._lock:
            self._closed = True
            self._let_in(len(self._waiting))
            self._work.notify_all()
            self._overflow.notify_all()

    def end(self) -> tuple[list[bytes], list[bytes]]:
        """Return what is in hand and what waits here; only `left` changes anything from now on."""
        with self._lock:
            self._ended = True
            self._work.notify_all()
            self._overflow.notify_all()
            self._work.wait_for(lambda: not self._moving, _DISK_S)
            return list(self._hand), list(self._intents)

    def left(self, reason: DropReason | None) -> None:
        """Count what the end returned: as dropped for a reason, else as spilled."""
        with self._lock:
            count = len(self._hand) + len(self._pop(len(self._intents)))
            self._hand = []
            if reason is None:
                self._spilled += count
            elif count:
                self._dropped[reason] += count

    @property
    def is_done(self) -> bool:
        """Tell whether it is closed and nothing is left to do."""
        with self._lock:
            return self._closed and not (self._intents or self._spilled or self._hand)

    @property
    def spilled(self) -> int:
        """Return how many intents wait on the disk."""
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
                self._handed_in(),
                self._found,
                self._answered["accepted"],
                self._answered["duplicate"],
                dict(self._refused),
                {str(reason): count for reason, count in self._dropped.items()},
                self._spilled,
                len(self._intents),
                len(self._hand),
            )

    def _handed_in(self) -> int:
        """Count what callers hand in, which is somewhere; who was interrupted did not."""
        ended = (self._answered, self._refused, self._dropped)
        here = self._spilled + len(self._intents) + len(self._hand) + len(self._waiting)
        return sum(sum(counter.values()) for counter in ended) + here - self._found

    def _pop(self, count: int) -> list[bytes]:
        popped = [self._intents.popleft() for _ in range(count)]
        self._bytes -= sum(map(len, popped))
        self._let_in(count)
        return popped

    def _let_in(self, count: int) -> None:
        """Have the first of those who wait for room look again."""
        with suppress(IndexError):
            for _ in range(count if self._waiting else 0):
                self._waiting.popleft().put(None)


def fitting(intents: Iterable[bytes], most: int, most_bytes: int) -> int:
    """Count the first intents that stay within both bounds together, at least one."""
    count = size = 0
    for packed in islice(intents, most):
        size += len(packed)
        if count and size > most_bytes:
            break
        count += 1
    return count
