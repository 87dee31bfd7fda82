"""Turns of routes that wait for the same thing: each comes back a moment behind the one before."""

from __future__ import annotations

from typing import Final

#: A line is at most this long; what comes later starts a second one beside it.
LONGEST_S: Final = 600.0


class Line:
    """A line of waiting routes: what they cost is bounded, however many there are."""

    def __init__(self) -> None:
        self._until = 0.0

    def turn(self, begins: float, gap_s: float) -> float:
        """Return when the next route has its turn, at *begins* or later and behind the others."""
        turn = max(begins, self._until) + gap_s
        if turn > begins + LONGEST_S:
            turn = begins + gap_s
        self._until = turn
        return turn

    def end(self) -> None:
        """Let later routes not queue behind those that have their turns."""
        self._until = 0.0
