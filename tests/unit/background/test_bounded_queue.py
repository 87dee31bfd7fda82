"""The queue of a background notifier: every parcel in one place, in order, within bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from galaxy_notify.background.bounded_queue import BoundedQueue, fitting
from tests.support.background import is_exact
from tests.support.suite import examples
from tests.support.wait import HANG_S, wait_until

CAPACITY, CAPACITY_BYTES = 8, 100


class Accounting(RuleBasedStateMachine):
    """Hands in, sends, spills, fails and ends in any order; a list stands for the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = BoundedQueue(CAPACITY, CAPACITY_BYTES)
        self.number = 0
        self.taken_in: list[bytes] = []
        self.taken_out: list[bytes] = []
        self.disk: list[bytes] = []
        self.ended = False

    @rule(size=st.integers(8, CAPACITY_BYTES + 20))
    def put(self, size: int) -> None:
        """A caller hands in."""
        self.number += 1
        parcel = b"%08d" % self.number + bytes(size - 8)
        if self.queue.put(parcel):
            self.taken_in.append(parcel)

    @rule(most=st.integers(1, 10), most_bytes=st.integers(1, 200))
    def take(self, most: int, most_bytes: int) -> None:
        """The drainer takes a batch in hand."""
        before = self.queue.in_flight
        count = self.queue.take(most, most_bytes)
        if not count and self.disk and not self.ended:
            parcels = self.disk[:most]
            del self.disk[:most]
            self.queue.take_from_disk(parcels)
        self.taken_out += self.queue.in_flight[len(before) :]

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Some of the batch has an answer."""
        hand = self.queue.in_flight
        kinds = st.sampled_from(["accepted", "duplicate", "conflict", "unknown"])
        drawn = data.draw(st.lists(kinds, min_size=len(hand), max_size=len(hand)))
        left = [parcel for parcel, kind in zip(hand, drawn, strict=True) if kind == "unknown"]
        answers = {kind: drawn.count(kind) for kind in ("accepted", "duplicate")}
        refused = {"conflict": drawn.count("conflict")}
        assert self.queue.settle(answers, refused, left) is not self.ended

    @rule(most=st.integers(1, 10), works=st.booleans())
    def spill(self, most: int, works: bool) -> None:
        """The spiller moves what overflows, or the disk is full."""
        parcels = self.queue.overflow(most, CAPACITY_BYTES, 0.0)
        if parcels and works:
            self.disk += parcels
            self.queue.spill_succeeded(len(parcels))
        elif parcels:
            self.queue.spill_failed()

    @precondition(lambda self: self.disk and not self.ended)
    @rule()
    def rot(self) -> None:
        """What lies on the disk cannot be read any more."""
        for parcel in self.disk:
            self.taken_in.remove(parcel)
        self.queue.count_lost(len(self.disk))
        self.disk.clear()

    @rule()
    def close(self) -> None:
        """Nothing more is taken."""
        self.queue.close()

    @precondition(lambda self: not self.ended)
    @rule(reason=st.sampled_from([None, "closed"]))
    def end(self, reason: Any) -> None:
        """The deadline has come."""
        self.queue.close()
        hand, waiting = self.queue.end()
        self.taken_out += waiting if not self.disk else []
        self.queue.count_leftovers(reason)
        stats = self.queue.stats()
        assert (stats.queued, stats.in_flight) == (0, 0)
        assert stats.spilled == len(self.disk) + (0 if reason else len(hand) + len(waiting))
        self.ended = True

    @invariant()
    def counts_everything(self) -> None:
        """Everything that was handed in is in one place."""
        stats = self.queue.stats()
        assert is_exact(stats)
        assert stats.enqueued == self.number

    @invariant()
    def is_bounded(self) -> None:
        """Neither bound is exceeded."""
        assert self.queue.stats().queued <= CAPACITY
        waiting = set(self.taken_in[len(self.taken_out) + len(self.disk) :])
        assert sum(map(len, waiting)) <= CAPACITY_BYTES

    @invariant()
    def is_in_order(self) -> None:
        """What is sent is what was handed in, in this order."""
        assert self.taken_out == self.taken_in[: len(self.taken_out)]


TestAccounting = Accounting.TestCase
TestAccounting.settings = settings(
    max_examples=examples(40, 300), stateful_step_count=40, deadline=None
)


def test_fitting__is_at_least_one() -> None:
    """One that is larger than a batch goes alone."""
    assert fitting([], 5, 10) == 0
    assert fitting([b"x" * 100, b"y"], 5, 10) == 1
    assert fitting([b"x", b"y", b"z"], 2, 10) == 2
    assert fitting([b"x" * 5, b"y" * 5, b"z"], 9, 10) == 2


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    """Run work beside the test."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_put__waits_for_room_until_its_deadline() -> None:
    """A caller that may wait is let in when there is room, and no longer kept than it allowed."""
    queue = BoundedQueue(1, 1000, block_s=3600)
    assert queue.put(b"first")
    told: list[bool] = []
    thread = in_thread(lambda: told.append(queue.put(b"second")))
    wait_until(lambda: queue.stats().enqueued == 2, "it waits")
    assert queue.take(1, 1000) == 1
    thread.join(HANG_S)
    assert told == [True]
    hasty = BoundedQueue(1, 1000, block_s=0.01)
    assert [hasty.put(b"first"), hasty.put(b"second")] == [True, False]
    assert hasty.stats().dropped == {"deadline": 1}


def test_put__ends_its_waiting_with_the_queue() -> None:
    """Whoever waits for room when the queue is closed is told at once."""
    queue = BoundedQueue(1, 1000, block_s=3600)
    queue.put(b"first")
    told: list[bool] = []
    thread = in_thread(lambda: told.append(queue.put(b"second")))
    wait_until(lambda: queue.stats().enqueued == 2, "it waits")
    queue.close()
    thread.join(HANG_S)
    assert told == [False]
    assert queue.stats().dropped == {"closed": 1}


def test_put__does_not_wait_for_what_never_fits() -> None:
    """An intent that is larger than the whole queue is dropped at once."""
    queue = BoundedQueue(10, 100, block_s=30)
    assert not queue.put(bytes(101))
    assert queue.stats().dropped == {"queue_full": 1}


def test_put__names_the_disk_where_that_is_why() -> None:
    """What is dropped because the disk takes nothing has a reason of its own, until it does."""
    queue = BoundedQueue(2, 1000)
    queue.put(b"1")
    queue.put(b"2")
    queue.put(b"3")
    assert queue.overflow(10, 1000, 0.0) == [b"1", b"2"]
    queue.spill_failed()
    queue.put(b"4")
    assert queue.overflow(10, 1000, 0.0) == [b"1", b"2"]
    queue.spill_succeeded(2)
    queue.put(b"5")
    assert queue.stats().dropped == {"queue_full": 1, "spill_failed": 1}
    assert (queue.stats().spilled, queue.stats().queued) == (2, 1)
