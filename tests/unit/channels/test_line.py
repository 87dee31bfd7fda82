"""Turns of routes that wait for the same thing."""

from __future__ import annotations

from galaxy_notify.channels.line import LONGEST_S, Line


def test_turn__is_a_gap_behind_the_one_before() -> None:
    """However many there are; each at its time or later."""
    line = Line()
    assert [line.turn(100.0, 0.5) for _ in range(3)] == [100.5, 101.0, 101.5]
    assert line.turn(200.0, 0.5) == 200.5
    assert line.turn(150.0, 0.5) == 201.0


def test_turn__of_a_long_line() -> None:
    """It has an end: what comes later goes beside it."""
    line = Line()
    turns = [line.turn(0.0, 100.0) for _ in range(8)]
    assert max(turns) == LONGEST_S == turns[5]
    assert turns[6:] == [100.0, 200.0]


def test_end__lets_others_come_at_once() -> None:
    """Those that have their turns keep them."""
    line = Line()
    line.turn(0.0, 100.0)
    line.end()
    assert line.turn(0.0, 1.0) == 1.0
