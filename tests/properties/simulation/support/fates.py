"""What becomes of each call to Redis, decided by a seed."""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

TIMEOUT_S: Final = 2.0
_REFUSALS: Final = (
    "OOM command not allowed",
    "READONLY You can't write",
    "LOADING Redis is loading",
)
_FAULTS: Final = {
    "lost": 4,
    "unanswered": 5,
    "late": 3,
    "refused": 2,
    "slow": 3,
    "crash before": 2,
    "crash after": 2,
    "flush": 1,
}


class Fate(NamedTuple):
    """One call: what happens, how long the way there and back takes, and how it is told."""

    kind: str
    there_s: float
    back_s: float
    timeout: bool
    refusal: str


class Fates:
    """The fates of all calls, in the order of the calls; after *until* of them nothing fails."""

    def __init__(self, seed: int, until: int | None) -> None:
        self.calls = 0
        self.quiet = False
        self._random = Random(f"fates {seed}")
        self._until = until
        # Some schedules are calm, and some break everything.
        self._rate = self._random.choice((0.02, 0.05, 0.1, 0.2))

    def next(self) -> Fate:
        """Decide about the next call."""
        self.calls += 1
        random = self._random
        fails, kind = random.random() < self._rate, random.choices(*_KINDS)[0]
        there, back = random.uniform(0.0001, 0.002), random.uniform(0.0001, 0.002)
        long, timeout = random.uniform(0.5, 8.0), random.random() < 0.5
        refusal = random.choice(_REFUSALS)
        if not fails or self.quiet or (self._until is not None and self.calls > self._until):
            return Fate("ok", there, back, timeout, refusal)
        if kind == "late":
            return Fate(kind, TIMEOUT_S + long, back, True, refusal)
        return Fate(kind, there, long if kind == "slow" else back, timeout, refusal)


_KINDS: Final = (list(_FAULTS), list(_FAULTS.values()))
