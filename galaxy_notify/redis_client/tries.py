"""The state of a round trip that is tried several times: replies, faults, and unknown outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from galaxy_notify.redis_client.durability import UNCONFIRMED
from galaxy_notify.redis_client.faults import BUSY, OTHER_DEPLOYMENT, RedisFault, Remedy
from galaxy_notify.redis_client.scripts import Command, ScriptCall

#: Where these come in place of a reply, its node serves the call soon, or another one does.
_ELSEWHERE: Final = frozenset({"connection", "READONLY", "MOVED", "ASK", "TRYAGAIN"})
#: These took their full time already, must not be sent again as they are, or would only make the
#: line longer.
_FINAL: Final = frozenset({"timeout", UNCONFIRMED, OTHER_DEPLOYMENT.code, BUSY})


class RetryState:
    """The calls of one round trip that have no answer yet, and the replies to the others."""

    # Defaults of the class: most round trips are answered at once and change none of them.
    _places: Sequence[int] | None = None
    _fault: RedisFault | None = None
    _outcome_unknown = False

    def __init__(self, calls: Sequence[ScriptCall | Command]) -> None:
        self.left = calls
        self.replies: list[Any] = []

    def answered(self, replies: Sequence[Any]) -> bool:
        """Store the replies to what was left; what a node could not serve is left again.

        Returns whether this was the first try and brought no fault: most are, and need no more.
        """
        faults = [n for n, reply in enumerate(replies) if isinstance(reply, RedisFault)]
        if self._places is None:
            self.replies = [*replies]
            if not faults:
                self.left = ()
                return True
            self._places = range(len(replies))
        else:
            for place, reply in zip(self._places, replies, strict=True):
                self.replies[place] = reply
        for n in faults:
            self.replies[self._places[n]] = self._with_earlier_tries(replies[n])
        again = [n for n in faults if replies[n].fault.code in _ELSEWHERE]
        self._outcome_unknown |= any([not replies[n].wrote_nothing for n in again])
        self.left = [self.left[n] for n in again]
        self._places = [self._places[n] for n in again]
        return False

    def failed(self, error: RedisFault, pause: float | None) -> None:
        """Record that no node served what was left; a final fault becomes the reply to each."""
        if not is_final(error, pause):
            self._outcome_unknown |= not error.wrote_nothing
            return
        error = self._with_earlier_tries(error)
        if not self.replies:
            self._fault = error
        for place in self._places or ():
            self.replies[place] = error
        self.left = ()

    def _with_earlier_tries(self, fault: RedisFault) -> RedisFault:
        """Return a fault; its outcome is unknown if an earlier try may have taken effect."""
        return fault.with_unknown_outcome() if self._outcome_unknown else fault

    @property
    def must_refresh_primary(self) -> bool:
        """Return whether the primary may have moved, or a reply was unreadable."""
        if self._fault is not None:
            return self._fault.fault.remedy is Remedy.RESOLVE
        # A plain loop: this is on the way of every accept.
        for reply in self.replies:
            if isinstance(reply, RedisFault) and reply.fault.remedy is Remedy.RESOLVE:
                return True
        return False

    def outcome(self) -> list[Any]:
        """Return a reply or a fault for each call; raise the fault if there is no reply at all."""
        if self._fault is not None:
            raise self._fault
        return self.replies


def is_final(error: RedisFault, pause: float | None) -> bool:
    """Return whether a fault is not worth another try; without a *pause* none is."""
    fault = error.fault
    return pause is None or fault.remedy is Remedy.CONFIGURE or fault.code in _FINAL
