"""When entries without an item are looked for again, and when they are given up."""

from __future__ import annotations

from galaxy_notify.feed.patience import LONGEST_S, Patience


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _looks(patience: Patience, clock: _Clock, *, spends: bool, until_s: float) -> list[float]:
    """Return when the entry `1-0` was looked for, until it was given up or for so long."""
    looked: list[float] = []
    assert patience.missed(["1-0"], spends=spends) == []
    while clock.now < until_s:
        clock.now += 1
        if patience.due(10) == ["1-0"]:
            looked.append(clock.now)
            if patience.missed(["1-0"], spends=spends):
                break
    return looked


def test_entry__is_looked_for_with_growing_pauses() -> None:
    """After a second at first; after ten minutes it is given up, and is not known any more."""
    clock = _Clock()
    patience = Patience(clock)
    looked = _looks(patience, clock, spends=True, until_s=10_000)
    assert looked[:6] == [1, 3, 7, 15, 31, 61]
    assert LONGEST_S <= looked[-1] < LONGEST_S + 31
    assert len(looked) < 30
    assert patience.waiting == []
    clock.now += 100
    assert patience.due(10) == []


def test_entry__waits_while_items_are_on_their_way() -> None:
    """Pauses that are not spent count for nothing, however many there are."""
    clock = _Clock()
    patience = Patience(clock)
    assert len(_looks(patience, clock, spends=False, until_s=5000)) > 100
    assert patience.waiting == ["1-0"]


def test_outage__costs_one_pause() -> None:
    """What counts are the pauses, not the time that passed between two of them."""
    clock = _Clock()
    patience = Patience(clock)
    patience.missed(["1-0"], spends=True)
    clock.now = 100_000
    assert patience.due(10) == ["1-0"]
    assert patience.missed(["1-0"], spends=True) == []


def test_entries__are_not_due_twice() -> None:
    """One that was found, or has not been missed again, is not looked for any more."""
    clock = _Clock()
    patience = Patience(clock)
    patience.missed(["1-0", "2-0", "3-0"], spends=True)
    patience.forget(["2-0"])
    clock.now = 1
    assert patience.due(1) == ["1-0"]
    assert patience.due(10) == ["3-0"]
    assert patience.due(10) == []
    patience.missed(["1-0"], spends=True)
    # Taken over while it waits: the earlier time says nothing.
    patience.missed(["1-0"], spends=True)
    clock.now = 3
    assert patience.due(10) == []
    clock.now = 5
    assert patience.due(10) == ["1-0"]


def test_entries__that_are_too_many() -> None:
    """Those that were missed first are given up, unless items are on their way."""
    patience = Patience(_Clock(), most=3)
    full = [patience.is_full]
    assert patience.missed(["1-0", "2-0", "3-0"], spends=True) == []
    assert [*full, patience.is_full] == [False, True]
    assert patience.missed(["4-0"], spends=False) == []
    assert patience.missed([], spends=True) == []
    assert patience.missed(["5-0", "4-0"], spends=True) == ["1-0"]
    assert patience.missed(["6-0", "7-0", "8-0"], spends=True) == ["2-0", "3-0", "4-0"]
    assert patience.waiting == ["5-0", "6-0", "7-0", "8-0"]
