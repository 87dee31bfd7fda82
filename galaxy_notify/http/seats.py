"""How many requests are in hand, and who may still come in: operators have seats of their own."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from galaxy_notify.http.problems import Problem, unavailable

_GUEST: Final = "galaxy_notify.guest"
#: One seat in so many is kept for operators.
_RESERVED: Final = 8


class Seats:
    """Counts requests in hand; a request leaves its seat when it is answered."""

    def __init__(self, most: int) -> None:
        """Give *most* requests a seat at a time, all but an eighth of them to anybody."""
        self._most = most
        self._most_guests = max(1, most - most // _RESERVED)
        self._in_hand = 0
        self._guests = 0

    def enter(self) -> None:
        """Count a request of which nobody knows yet who sent it."""
        self._in_hand += 1

    def leave(self, scope: Scope) -> None:
        """Forget a request that was answered."""
        self._in_hand -= 1
        self._guests -= scope["state"].get(_GUEST, 0)

    @property
    def refusal(self) -> Problem | None:
        """Return why the request that just came in is not served, if it is not."""
        return _busy(self._most) if self._in_hand > self._most else None

    def take(self, scope: Scope, *, reserved: bool) -> None:
        """Give the caller a seat, *reserved* for operators or not; raise a `Problem` (503)."""
        if reserved:
            return
        if self._guests >= self._most_guests:
            raise _busy(self._most_guests)
        scope["state"][_GUEST] = 1
        self._guests += 1


def _busy(most: int) -> Problem:
    return unavailable(f"{most} requests are in hand", "busy")
