"""Cursors: where a client is among the events of its user, ``<epoch>.<offset>.<check>``."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final, NamedTuple

from galaxy_notify.model.ids import first_part

_CURSOR: Final = re.compile(r"([0-9A-Za-z]{1,64})\.(0|[1-9][0-9]{0,14})\.([0-9a-f]{4}|0)")
#: What the id of an event in a recent list takes, without a mark.
ID_BYTES: Final = 8
#: What stands before the id of a notification where it is taken back.
RETRACTION_MARK: Final = b"-"


class Cursor(NamedTuple):
    """A place among the events of one user.

    Offsets count the events of an epoch from 1, without a hole. The check is of the event at the
    offset and of all before it: after a failover the same offset may hold another event, or the
    same one behind another past, and then its check differs.
    """

    epoch: str
    offset: int
    check: str

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.check}"


#: Before the first event of a user, whatever the epoch will be.
BEGINNING: Final = Cursor("0", 0, "0")
#: Nowhere: no epoch has this name. What a client sent that is no cursor counts as this one.
UNKNOWN: Final = Cursor("unknown", 1, "0000")


def parse_cursor(text: str) -> Cursor | None:
    """Return the cursor that a client sent; None if the text is invalid."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        return None
    cursor = Cursor(match[1], int(match[2]), match[3])
    # Only the beginning has neither an epoch nor an event.
    is_beginning = (match[1] == "0", match[2] == "0", match[3] == "0")
    return cursor if all(is_beginning) or not any(is_beginning) else None


def recent_id(notification_id: str) -> bytes:
    """Return the id of an event in a recent list.

    It is the same for all parts, channels and generations of a notification, so a user sees the
    notification once.
    """
    return sha256(first_part(notification_id).encode()).digest()[:ID_BYTES]
