"""What is wrong with a notification itself, and which of its routes an index should have."""

from __future__ import annotations

from typing import Final, NamedTuple

from galaxy_notify.fsck.notifications import SeenNotification
from galaxy_notify.model.route import FORMAT, newer_format

_NEEDING: Final = b"pfd"
_STATUSES: Final = b"pfPdcesx"


class Miscount(NamedTuple):
    """A fault of a notification: its code, what is wrong, and what a repair does."""

    code: str
    what: str
    mends: str


def miscount(one: SeenNotification) -> Miscount | None:
    """Return what is wrong with how a notification counts its routes, or else with its expiry."""
    if one.foreign or one.vanished or not one.readable:
        return None
    needing = one.needing
    if one.counted != needing:
        counted = (one.open or b"none").decode("ascii", "backslashreplace")
        what = f"{needing} of its routes need it, but it counts {counted}"
        return Miscount("miscounted", what, "recounted, expires when no route needs it")
    if needing and one.ttl_ms >= 0:
        return Miscount("expires", "expires although routes need it", "kept")
    if not needing and one.ttl_ms == -1:
        return Miscount("endless", "never expires although no route needs it", "made to expire")
    return None


def should_be_indexed(one: SeenNotification, state: bytes) -> bool:
    """Return whether an index should have the route of this state.

    One that cannot be read may have ended: its notification knows, as long as it does not expire.
    """
    if newer_format(state):
        return False
    readable = state[:1] == FORMAT and state[1:2] in _STATUSES and len(state) > 1
    return state[1:2] in _NEEDING if readable else one.ttl_ms == -1
