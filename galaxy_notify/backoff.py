"""Pauses between the attempts of a route, and during an outage."""

from __future__ import annotations

from random import Random, SystemRandom
from typing import Final, Literal

Jitter = Literal["full", "none"]

# Spreading retries below half the first delay gains nothing, and a retry must not come at once.
_LEAST_SHARE_OF_MINIMUM: Final = 2
_LEAST_SHARE_OF_CEILING: Final = 10
# At the longest pause there are at most two attempts a second.
_LEAST_OF_LONGEST_MS: Final = 500


def delay_ms(attempt: int, minimum: int, maximum: int, jitter: Jitter, rng: Random) -> int:
    """Return the milliseconds to wait after failed attempt *attempt* (the first is 1).

    Jitter ``none`` gives exactly ``min(maximum, minimum * 2**(attempt - 1))``. ``full`` draws
    evenly between half the minimum and that delay.
    """
    delay = _doubled(max(1, minimum), max(1, maximum), attempt - 1)
    if jitter == "none":
        return delay
    return rng.randint(_share(min(minimum, delay), _LEAST_SHARE_OF_MINIMUM), delay)


class OutageBackoff:
    """Growing pauses with full jitter between attempts, while another system is away."""

    def __init__(
        self, minimum_ms: int = 50, maximum_ms: int = 5000, rng: Random | None = None
    ) -> None:
        self._minimum = max(1, minimum_ms)
        self._maximum = max(1, maximum_ms)
        self._rng = rng or SystemRandom()
        self._tries = 0

    def next(self) -> int:
        """Return the milliseconds before the next attempt; the range doubles with every call."""
        ceiling = _doubled(self._minimum, self._maximum, self._tries)
        least = _share(ceiling, _LEAST_SHARE_OF_CEILING)
        if ceiling < self._maximum:
            self._tries += 1
        else:
            least = max(least, min(ceiling, _LEAST_OF_LONGEST_MS))
        return self._rng.randint(least, ceiling)

    def reset(self) -> None:
        """Start again from the shortest pause, after an answer."""
        self._tries = 0


def _doubled(minimum: int, maximum: int, doublings: int) -> int:
    """Return ``min(maximum, minimum * 2**doublings)`` without computing a huge number."""
    if doublings >= maximum.bit_length():
        return maximum
    return min(maximum, minimum << max(0, doublings))


def _share(delay: int, parts: int) -> int:
    return max(1, delay // parts)
