"""What became of dead letters or rejects that were to be moved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class MoveOutcome:
    """What became of those that were asked for, so far; *failed* counts by reason.

    *gone* were no longer there to be moved; after a *fault* the run ended early.
    """

    matched: int = 0
    moved: int = 0
    gone: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    stopped: bool = False
    fault: str = ""

    @property
    def unknown(self) -> int:
        """Return how many were asked for while Redis went away: they are as before, or moved."""
        return self.matched - self.moved - self.gone - self.failed.total()

    def as_json(self) -> dict[str, object]:
        """Return the counts as the command line and the HTTP API show them."""
        return {
            "matched": self.matched,
            "moved": self.moved,
            "gone": self.gone,
            "failed": self.failed.total(),
            "unknown": self.unknown,
            "reasons": dict(self.failed),
            "stopped": self.stopped,
        }
