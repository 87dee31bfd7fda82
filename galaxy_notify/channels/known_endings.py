"""How routes ended that could not be recorded while their leases lasted."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from galaxy_notify.channels.endings import Ending
from galaxy_notify.redis_state.leases import ClaimedMember

_KEPT: Final = 10_000


class KnownEndings:
    """Endings of routes that were sent, until they are claimed again: then they are not sent again.

    A route whose state has changed since was worked by another process, and is no longer known.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, bytes], Ending] = OrderedDict()

    def keep(self, claimed: ClaimedMember, ending: Ending) -> None:
        """Keep how a member ended, in the state in which it was claimed."""
        self._kept[claimed.member, claimed.state] = ending
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def take(self, claimed: ClaimedMember) -> Ending | None:
        """Return how a claimed member ended already; None if it is to be worked."""
        return self._kept.pop((claimed.member, claimed.state), None)
