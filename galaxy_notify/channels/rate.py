"""How many sends of a channel may be made, over all processes."""

from __future__ import annotations

from time import monotonic
from typing import Final, Protocol

from galaxy_notify.redis_state.rate import Taken

#: What is taken and not used is lost after this time, or it would be a burst beyond the rate; of a
#: slow rate, when the next one is there.
_KEPT_S: Final = 1.0
#: A process takes what it needs for this time at once: a call for each send would double the calls.
_AHEAD_S: Final = 0.05
_SAVED_S: Final = 0.1
_US: Final = 1_000_000


class TakeSends(Protocol):
    """Takes sends out of the rate, in Redis; raises `RedisFault`."""

    async def __call__(self, *, interval_us: int, burst: int, wanted: int) -> Taken: ...


class Rate:
    """The rate of one channel, as this process has its share of it."""

    def __init__(self, sends_per_s: float, take: TakeSends) -> None:
        self._interval_us = max(1, round(_US / sends_per_s))
        self._burst = max(1, int(sends_per_s * _SAVED_S))
        self._wanted = max(1, int(sends_per_s * _AHEAD_S))
        self._kept_s = max(_KEPT_S, 1 / sends_per_s)
        self._take = take
        self._left = 0
        self._lost_at = 0.0

    async def take(self) -> float:
        """Take one send, and return 0; or return in how many seconds there may be one."""
        if monotonic() >= self._lost_at:
            self._left = 0
        if not self._left:
            taken = await self._take(
                interval_us=self._interval_us, burst=self._burst, wanted=self._wanted
            )
            if taken.sends:
                self._left += taken.sends
                self._lost_at = monotonic() + self._kept_s
            # One may have been handed back meanwhile.
            if not self._left:
                return taken.pause_ms / 1000
        self._left -= 1
        return 0.0

    def give_back(self) -> None:
        """Hand back a send that was taken and not made."""
        self._left += 1
