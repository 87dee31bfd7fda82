"""What fsck finds wrong with the keys of users: recent lists, presence, marks, inboxes, gateways.

None of them holds anything that is lost with it: a user whose recent list is removed gets a new
epoch and a reset, gateways write presence, inboxes and their entries again within seconds, and a
mark is written again from Postgres.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from galaxy_notify.fsck.pages import is_foreign
from galaxy_notify.model.cursor import ID_BYTES, RETRACTION_MARK
from galaxy_notify.model.feed import Counts, parse_counts
from galaxy_notify.redis_client.flows import Flow, unwrap, unwrap_or
from galaxy_notify.redis_client.replies import moment, number, text
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_state.gateways import GATEWAY_KEPT_MS, REPORT_TTL_MS
from galaxy_notify.redis_state.inbox import TTL_MS
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.unread import KEEP_MS as MARK_KEPT_MS

#: What PTTL answers for a key without a time to live.
_ENDLESS: Final = -1
#: And for no key at all.
_ABSENT: Final = -2
#: Elements of the longest list: twice ``realtime.history`` events are kept before it is trimmed.
_MOST_ELEMENTS: Final = 1200
#: About how many bytes of lists are read in a round trip; one larger list is read alone.
_BYTES: Final = 4 << 20
_MOST_GATEWAYS: Final = 1000
_PLACE: Final = re.compile(rb"([0-9A-Za-z]{1,64})\.([1-9][0-9]{0,14})\.[0-9a-f]{4} ")


class Terms(NamedTuple):
    """For how long keys are kept that were found without a time to live."""

    recent_ms: int
    presence_ms: int


@dataclass(frozen=True, slots=True)
class KeyFault:
    """A fault of one key; *repair* is the command that repairs it."""

    code: str
    key: str
    what: str
    mends: str
    repair: Command


def look_at_recent(names: Sequence[str], terms: Terms) -> Flow[list[KeyFault]]:
    """Return the faults of recent lists, at most one for each."""
    lengths, ttls = yield from _sizes("LLEN", names)
    sizes = yield [Command(["MEMORY", "USAGE", name]) for name in names]
    faults: list[KeyFault] = []
    readable: list[tuple[str, int, int]] = []
    for name, length, ttl, size in zip(names, lengths, ttls, sizes, strict=True):
        if is_foreign(length):
            faults.append(_removing("wrong-type", name, "is not a list"))
        elif int(length) > _MOST_ELEMENTS:
            faults.append(_removing("bad-recent", name, f"has {length:,} elements"))
        elif length:
            readable.append((name, int(unwrap(ttl)), number(unwrap(size))))
    return faults + (yield from _look_into(readable, terms))


def _look_into(lists: Sequence[tuple[str, int, int]], terms: Terms) -> Flow[list[KeyFault]]:
    """Return the faults of lists, each with its time to live and its size in bytes."""
    faults: list[KeyFault] = []
    for batch in _batches(lists):
        replies = yield [Command(["LRANGE", name, 0, -1]) for name, _, _ in batch]
        for (name, ttl_ms, _), reply in zip(batch, replies, strict=True):
            if what := _disorder(unwrap_or(reply, [])):
                faults.append(_removing("bad-recent", name, what))
            elif ttl_ms == _ENDLESS:
                faults.append(_expiring(name, terms.recent_ms))
    return faults


def look_at_presence(names: Sequence[str], terms: Terms) -> Flow[list[KeyFault]]:
    """Return the faults of presence keys."""
    return (yield from _look_at("ZCARD", "is not a sorted set", names, terms.presence_ms))


def look_at_marks(names: Sequence[str], _: Terms) -> Flow[list[KeyFault]]:
    """Return the faults of unread marks, at most one for each."""
    replies = yield [
        call
        for name in names
        for call in (Command(["HMGET", name, *Counts._fields]), Command(["PTTL", name]))
    ]
    faults: list[KeyFault] = []
    for name, counts, ttl in zip(names, replies[::2], replies[1::2], strict=True):
        if is_foreign(counts):
            faults.append(_removing("wrong-type", name, "is not a hash"))
        elif int(unwrap(ttl)) == _ABSENT:
            continue
        elif parse_counts(unwrap(counts)) is None:
            faults.append(_removing("bad-mark", name, "lacks one of its counts"))
        elif int(unwrap(ttl)) == _ENDLESS:
            faults.append(_expiring(name, MARK_KEPT_MS))
    return faults


def look_at_inboxes(names: Sequence[str], _: Terms) -> Flow[list[KeyFault]]:
    """Return the faults of inboxes."""
    return (yield from _look_at("XLEN", "is not a stream", names, TTL_MS))


def look_at_gateways(keys: Keys, now_ms: int) -> Flow[list[KeyFault]]:
    """Return the faults of the registry of gateways; a gateway that died is forgotten in time."""
    (rows,) = yield [
        Command(["ZRANGE", keys.gateways, 0, _MOST_GATEWAYS - 1, "WITHSCORES"]),
    ]
    if is_foreign(rows):
        return [_removing("wrong-type", keys.gateways, "is not a sorted set")]
    found = [(name, moment(score)) for name, score in unwrap(rows)]
    owns = [keys.gateway(text(name)) for name, _ in found]
    lengths, ttls = yield from _sizes("HLEN", owns)
    faults: list[KeyFault] = []
    for (name, at_ms), own, length, ttl in zip(found, owns, lengths, ttls, strict=True):
        if is_foreign(length):
            faults.append(_removing("wrong-type", own, "is not a hash"))
        elif int(unwrap(ttl)) == _ENDLESS:
            faults.append(_expiring(own, REPORT_TTL_MS))
        elif int(length) == 0 and at_ms < now_ms - GATEWAY_KEPT_MS:
            remove = Command(["ZREM", keys.gateways, name])
            what = f"lists {text(name)}, which stopped reporting over an hour ago"
            faults.append(KeyFault("stale-gateway", keys.gateways, what, "removed", remove))
    return faults


def _look_at(command: str, what: str, names: Sequence[str], keep_ms: int) -> Flow[list[KeyFault]]:
    lengths, ttls = yield from _sizes(command, names)
    faults: list[KeyFault] = []
    for name, length, ttl in zip(names, lengths, ttls, strict=True):
        if is_foreign(length):
            faults.append(_removing("wrong-type", name, what))
        elif int(unwrap(ttl)) == _ENDLESS:
            faults.append(_expiring(name, keep_ms))
    return faults


def _sizes(command: str, names: Sequence[str]) -> Flow[tuple[list[Any], list[Any]]]:
    """Return the size and the time to live of keys, or the fault in its place."""
    replies = yield [
        call for name in names for call in (Command([command, name]), Command(["PTTL", name]))
    ]
    return replies[::2], replies[1::2]


def _batches(lists: Sequence[tuple[str, int, int]]) -> Iterator[list[tuple[str, int, int]]]:
    batch: list[tuple[str, int, int]] = []
    bytes_ = 0
    for one in lists:
        if batch and bytes_ + one[2] > _BYTES:
            yield batch
            batch, bytes_ = [], 0
        batch.append(one)
        bytes_ += one[2]
    if batch:
        yield batch


def _disorder(elements: Sequence[bytes]) -> str:
    """Return what is wrong with the elements of a recent list; empty for nothing."""
    if len(elements) % 2:
        return f"has {len(elements):,} elements: not pairs"
    before: tuple[bytes, int] | None = None
    for at in range(0, len(elements), 2):
        match = _PLACE.match(elements[at + 1])
        if match is None or not _is_id(elements[at]):
            return f"its pair {at // 2 + 1} lacks an id or a place"
        place = (match[1], int(match[2]))
        if before is not None and place != (before[0], before[1] + 1):
            return f"its offsets have a hole behind {before[1]}"
        before = place
    return ""


def _is_id(element: bytes) -> bool:
    marked = element.startswith(RETRACTION_MARK) and len(element) == len(RETRACTION_MARK) + ID_BYTES
    return marked or len(element) == ID_BYTES


def _removing(code: str, key: str, what: str) -> KeyFault:
    return KeyFault(code, key, what, "removed", Command(["DEL", key]))


def _expiring(key: str, keep_ms: int) -> KeyFault:
    expire = Command(["PEXPIRE", key, keep_ms])
    return KeyFault("endless", key, "never expires", "made to expire", expire)
