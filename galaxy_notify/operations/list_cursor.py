"""Where a page of the list ended, as a text that says nothing to anybody else."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.redis_inspect.listing import MOST_IDS, ListPosition

# A number for the form, the time, the shard, the number within the time, the place in the entry.
_FORM: Final = struct.Struct(">BQHQH")
_NUMBER: Final = 1


def write_cursor(position: ListPosition) -> str:
    """Return the cursor of the page behind a position."""
    return base64.urlsafe_b64encode(_FORM.pack(_NUMBER, *position)).decode()


def read_cursor(text: str, shards: int) -> ListPosition:
    """Return the position behind which a page begins; raise `InvalidQuery`."""
    try:
        number, *values = _FORM.unpack(base64.b64decode(text, b"-_", validate=True))
        position = ListPosition(*values)
    except (ValueError, binascii.Error, struct.error):
        raise _no_cursor() from None
    known = number == _NUMBER and position.place < MOST_IDS
    # Not every text that means a position is the one that we write for it.
    if not known or position.shard >= shards or write_cursor(position) != text:
        raise _no_cursor()
    return position


def _no_cursor() -> InvalidQuery:
    return InvalidQuery("cursor", "is not a cursor of this list")
