"""Positions in the list of a user, newest first, and the cursors that name them to clients."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

from galaxy_notify.errors import InvalidQuery

_PACKED: Final = struct.Struct(">QQ")
#: In the year 2255: what Postgres and JSON hold exactly.
_LAST_US: Final = 1 << 53
_LAST_ID: Final = (1 << 63) - 1


class Position(NamedTuple):
    """A place in a list: the time of an item in µs since 1970, and the id of its row."""

    at_us: int
    id: int

    @property
    def cursor(self) -> str:
        """The position as an opaque text."""
        return urlsafe_b64encode(_PACKED.pack(*self)).decode().rstrip("=")


#: Before the newest item.
NEWEST: Final = Position(_LAST_US, 0)


def position_at(cursor: str) -> Position:
    """Return the position that a cursor names; raise `InvalidQuery` for any other text."""
    try:
        found = Position(*_PACKED.unpack(urlsafe_b64decode(f"{cursor}==")))
    except (ValueError, struct.error):
        raise InvalidQuery("cursor", "is not one that a list returned") from None
    if found.cursor != cursor or found.at_us > _LAST_US or found.id > _LAST_ID:
        raise InvalidQuery("cursor", "is not one that a list returned")
    return found
