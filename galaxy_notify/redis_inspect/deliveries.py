"""How routes of external channels ended, as operators ask: those of one user, since a moment."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from galaxy_notify.redis_client.replies import text
from galaxy_notify.redis_state.deployment import Deployment, read_all
from galaxy_notify.redis_state.group_report import StreamId, order_of
from galaxy_notify.redis_state.keys import Keys

_PAGE: Final = 1000
#: A delivery stream of this length was trimmed, or is about to be.
_FULL: Final = 100_000

_Entry = tuple[StreamId, int, Mapping[bytes, bytes]]


class EndedRoute(NamedTuple):
    """An entry of the delivery stream: *notification_id* is that of the whole notification.

    *outcome* is ``delivered``, ``skipped``, ``expired`` or ``dead_letter``.
    """

    notification_id: str
    outcome: str
    reason: str
    at_ms: int


def ended_since(
    deployment: Deployment, user: str, channel: str, since_ms: int
) -> Iterator[EndedRoute]:
    """Yield routes of a user that ended since then, the oldest first, as far as they are kept.

    Raises `RedisFault`.
    """
    walks = [_walk(deployment, keys, since_ms) for keys in deployment.all_keys]
    wanted = (user.encode(), channel.encode())
    for (at_ms, _), _, fields in heapq.merge(*walks, key=lambda entry: entry[:2]):
        if (fields.get(b"user_id"), fields.get(b"channel")) == wanted:
            name, outcome, reason = (text(fields.get(one, b"")) for one in _TOLD)
            yield EndedRoute(name, outcome, reason, at_ms)


def kept_since_ms(deployment: Deployment) -> int:
    """Return since when all ended routes are known for sure; 0 if they always were.

    Raises `RedisFault`.
    """
    streams = [keys.deliveries for keys in deployment.all_keys]
    lengths = read_all(deployment, (["XLEN", stream] for stream in streams))
    full = [name for name, length in zip(streams, lengths, strict=True) if length >= _FULL]
    pages = read_all(deployment, (["XRANGE", name, "-", "+", "COUNT", 1] for name in full))
    return max((order_of(text(rows[0][0]))[0] for rows in pages if rows), default=0)


_TOLD: Final = (b"notification_id", b"outcome", b"reason")


def _walk(deployment: Deployment, keys: Keys, since_ms: int) -> Iterator[_Entry]:
    start = str(max(since_ms, 0))
    while True:
        command = ["XRANGE", keys.deliveries, start, "+", "COUNT", _PAGE]
        (rows,) = read_all(deployment, [command])
        for name, fields in rows:
            yield order_of(text(name)), keys.shard, fields or {}
        if len(rows) < _PAGE:
            return
        start = f"({text(rows[-1][0])}"
