"""A page of dead letters, the oldest first, and the cursor behind which the next one begins."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Final

from galaxy_notify.errors import InvalidQuery
from galaxy_notify.operations.dead_filter import DeadFilter
from galaxy_notify.operations.dead_letter import DeadLetterView
from galaxy_notify.operations.dead_letters import DeadLetterReader
from galaxy_notify.redis_state.dead_index import DeadPosition
from galaxy_notify.redis_state.deployment import Deployment

MOST_ITEMS: Final = 100
#: How many dead letters one page reads, with any filter.
MOST_LOOKED: Final = 1000


def read_dead_page(
    deployment: Deployment, wanted: DeadFilter, cursor: str | None = None
) -> tuple[list[DeadLetterView], str | None]:
    """Return some dead letters and the cursor behind them, None at the end.

    From page to page each that rests there all the while comes exactly once. Raises `InvalidQuery`
    and `RedisFault`.
    """
    limit = MOST_ITEMS if wanted.limit is None else wanted.limit
    if not 1 <= limit <= MOST_ITEMS:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {MOST_ITEMS}")
    after = None if cursor is None else _read_cursor(cursor)
    found: list[DeadLetterView] = []
    for looked, letter in enumerate(DeadLetterReader(deployment).every(wanted, after), start=1):
        if wanted.matches(letter):
            found.append(letter)
        if len(found) == limit or looked == MOST_LOOKED:
            entry = letter.row.entry
            return found, _write_cursor(DeadPosition(entry.dead_at_ms, entry.member))
    return found, None


def _write_cursor(position: DeadPosition) -> str:
    raw = b"%d %s" % (position.dead_at_ms, position.member)
    return base64.urlsafe_b64encode(raw).decode()


def _read_cursor(text: str) -> DeadPosition:
    with suppress(ValueError):
        at, space, member = base64.b64decode(text, b"-_", validate=True).partition(b" ")
        position = DeadPosition(int(at), member)
        # Not every text that means a position is the one that is written for it.
        if space and 0 <= position.dead_at_ms < 10**15 and _write_cursor(position) == text:
            return position
    raise InvalidQuery("cursor", "is not a cursor of a dead-letter page")
