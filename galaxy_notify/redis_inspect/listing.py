"""What was accepted, the newest first over all shards, and a short look at each of it.

Flows, so that the command line and the HTTP API read alike.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heapreplace
from itertools import takewhile
from typing import Any, Final, NamedTuple

from galaxy_notify.model.ids import is_first_part
from galaxy_notify.model.notification import Notification, readable_record
from galaxy_notify.model.route import STATUS_OF
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import number, reader, text
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace

#: An entry that we wrote names no more.
MOST_IDS: Final = 1000
#: What a record holds beside the payload: ids, names, keys and its frame.
_FRAME_BYTES: Final = 4096
# How many notifications are read at a time, of all shards together and of each at least; and the
# first entries of each.
_AHEAD: Final = 200
_FEWEST_AHEAD: Final = 8
_FIRST_ENTRIES: Final = 2


class ListPosition(NamedTuple):
    """Where a notification stands in the list; what was accepted later is greater."""

    ms: int
    shard: int
    number: int
    place: int

    @property
    def age(self) -> tuple[int, int, int, int]:
        """Return what is less the newer it is."""
        return (-self.ms, -self.shard, -self.number, -self.place)


#: Later than anything, and earlier.
_NEWEST: Final = ListPosition(1 << 64, 0, 0, 0)
_OLDEST: Final = ListPosition(-1, 0, 0, 0)


class ListEntry(NamedTuple):
    """A notification by its id, and where it stands."""

    position: ListPosition
    notification_id: str


class AcceptedBetween(NamedTuple):
    """From when to when what is listed was accepted, both included; None is any time."""

    since_ms: int | None = None
    until_ms: int | None = None


class Merge:
    """The lists of all shards as one, the newest first; it is read a few entries at a time."""

    def __init__(
        self, key_space: KeySpace, span: AcceptedBetween, after: ListPosition | None
    ) -> None:
        """Begin behind *after*, or at the newest."""
        ahead = max(_FEWEST_AHEAD, _AHEAD // key_space.shared.shards)
        self._shards = [_ShardList(keys, span, after, ahead) for keys in key_space.all_keys]

    @property
    def foreign(self) -> list[str]:
        """Return the keys that hold no list, so that their shard was left out."""
        return [shard.keys.accepted for shard in self._shards if shard.is_foreign]

    @property
    def may_have_more(self) -> bool:
        """Return whether anything may follow."""
        return any(shard.waiting or not shard.is_read for shard in self._shards)

    def fill(self) -> Flow[int]:
        """Read on wherever nothing is left of a shard; return how many entries named nothing."""
        dry = [shard for shard in self._shards if shard.is_dry]
        replies = (yield [shard.read() for shard in dry]) if dry else []
        return sum(shard.take(reply) for shard, reply in zip(dry, replies, strict=True))

    def pop(self, most: int) -> list[ListEntry]:
        """Take the newest, as far as their order is known without reading on."""
        found: list[ListEntry] = []
        ready = (shard for shard in self._shards if shard.waiting)
        heap = [(shard.waiting[0].position.age, shard.keys.shard) for shard in ready]
        heapify(heap)
        unread = self._unread
        while heap and len(found) < most and heap[0][0] < unread.age:
            shard = self._shards[heap[0][1]]
            found.append(shard.waiting.popleft())
            if shard.waiting:
                heapreplace(heap, (shard.waiting[0].position.age, shard.keys.shard))
            else:
                heappop(heap)
                unread = max(unread, shard.floor if shard.is_dry else unread)
        return found

    def reached(self, last: ListPosition | None) -> ListPosition | None:
        """Return behind what everything was seen; *last* is what was taken last."""
        heads = [shard.waiting[0].position for shard in self._shards if shard.waiting]
        return last if max(heads, default=_OLDEST) > self._unread else self._unread

    @property
    def _unread(self) -> ListPosition:
        """Return what nothing reaches up to that is not read yet."""
        return max((shard.floor for shard in self._shards if shard.is_dry), default=_OLDEST)

    def put_back(self, listed: Sequence[ListEntry]) -> None:
        """Return what was taken last."""
        for entry in reversed(listed):
            self._shards[entry.position.shard].waiting.appendleft(entry)


class _ShardList:
    def __init__(
        self, keys: Keys, span: AcceptedBetween, after: ListPosition | None, ahead: int
    ) -> None:
        self.keys = keys
        self.waiting: deque[ListEntry] = deque()
        self.is_read = self.is_foreign = False
        #: What is not read yet is less than this.
        self.floor = after or _NEWEST
        self._after = after
        self._ahead = ahead
        # An entry may name hundreds of ids: the first entries show how many.
        self._count = _FIRST_ENTRIES
        self._from = self._begin(span.until_ms, after)
        self._to = "-" if span.since_ms is None else str(span.since_ms)

    def _begin(self, until_ms: int | None, after: ListPosition | None) -> str:
        """Return the newest id to read: nothing that stands before *after*."""
        if after is None:
            return "+" if until_ms is None else str(until_ms)
        # What was accepted in the same millisecond is in the order of the shards.
        ms = after.ms - (self.keys.shard > after.shard)
        if until_ms is not None and until_ms < ms:
            return str(until_ms)
        if self.keys.shard == after.shard:
            return f"{'' if after.place else '('}{ms}-{after.number}"
        return str(max(ms, 0))

    @property
    def is_dry(self) -> bool:
        """Return whether the next entry is only known once it is read."""
        return not self.waiting and not self.is_read

    def read(self) -> Command:
        """Return what reads on."""
        span = (self._from, self._to)
        return Command(["XREVRANGE", self.keys.accepted, *span, "COUNT", self._count])

    def take(self, reply: Any) -> int:
        """Take what was read over; return how many entries named nothing. Raises `RedisFault`."""
        if isinstance(reply, RedisFault) and reply.fault.code == "WRONGTYPE":
            self.is_read = self.is_foreign = True
            return 0
        entries, idle = unwrap(reply), 0
        self.is_read = len(entries) < self._count
        for stream_id, fields in entries:
            self._from = f"({text(stream_id)}"
            listed = list(self._listed(text(stream_id), (fields or {}).get(b"ids", b"")))
            self.waiting.extend(listed)
            idle += not listed
        named = max(len(entries), len(self.waiting))
        self._count = max(1, self._ahead * len(entries) // max(1, named))
        return idle

    def _listed(self, stream_id: str, ids: bytes) -> Iterator[ListEntry]:
        ms, number = map(int, stream_id.split("-"))
        shard, after = self.keys.shard, self._after
        self.floor = ListPosition(ms, shard, number, 0)
        names = text(ids[: 64 * MOST_IDS]).split(" ")[:MOST_IDS]
        for place in range(len(names) - 1, -1, -1):
            position = ListPosition(ms, shard, number, place)
            # An invalid id was never accepted.
            if (after is None or position < after) and is_first_part(names[place]):
                yield ListEntry(position, names[place])


@dataclass(frozen=True, slots=True)
class ListSummary:
    """What a list shows of a notification, or of one part; None for what cannot be read.

    ``statuses`` are those of the routes that were asked for; ``corrupt`` stands for what cannot be
    read. ``moved_to_ms`` is the due time that the whole was given after it was accepted. ``parts``
    is how many parts were looked at.
    """

    exists: bool
    record: Notification | None = None
    record_bytes: int = 0
    open: int | None = None
    moved_to_ms: int | None = None
    statuses: Counter[str] = field(default_factory=Counter)
    parts: int = 1

    def __add__(self, later: ListSummary) -> ListSummary:
        """Return the sum of the first part and a later one; a part that is gone adds nothing."""
        return replace(
            self,
            open=None if self.open is None else self.open + (later.open or 0),
            statuses=self.statuses + later.statuses,
            parts=self.parts + later.parts,
        )


def read_summaries(
    key_space: KeySpace, listed: Sequence[ListEntry], routes: Sequence[str] | None
) -> Flow[list[ListSummary]]:
    """Read the first of these, as many as fit into one call; *routes* None means all routes."""
    placed = [(key_space.keys(entry.position.shard), entry.notification_id) for entry in listed]
    largest = key_space.shared.max_payload_bytes + _FRAME_BYTES
    found = yield from _summaries(placed, routes, largest)
    return [found[place] for place in takewhile(found.__contains__, placed)]


def read_part_summaries(
    key_space: KeySpace, names: Sequence[str], routes: Sequence[str] | None
) -> Flow[dict[str, ListSummary]]:
    """Read parts without their records, as many as fit into one call, and at least one.

    *routes* are the ids of routes to read; None means all.
    """
    placed = [(key_space.keys_for(name), name) for name in names]
    found = yield from _summaries(placed, routes, 0)
    return {name: summary for (_, name), summary in found.items()}


def _summaries(
    placed: Sequence[tuple[Keys, str]], routes: Sequence[str] | None, record_bytes: int
) -> Flow[dict[tuple[Keys, str], ListSummary]]:
    shards: dict[Keys, list[str]] = {}
    for keys, name in placed:
        shards.setdefault(keys, []).append(name)
    calls = [listing_read(keys, names, routes, record_bytes) for keys, names in shards.items()]
    replies = yield calls
    return {
        (keys, name): _summary(name, answer)
        for (keys, names), reply in zip(shards.items(), replies, strict=True)
        # Where much was to be read the last of them have no answer.
        for name, answer in zip(names, unwrap(reply), strict=False)
    }


def listing_read(
    keys: Keys, names: Sequence[str], routes: Sequence[str] | None, record_bytes: int
) -> ScriptCall:
    """Read notifications of one shard; records larger than *record_bytes* are left out."""
    named: list[Argument] = ["*"] if routes is None else [len(routes), *routes]
    return ScriptCall(
        script("listing_read"), [keys.never], [keys.tag, record_bytes, *named, *names]
    )


def _summary(notification_id: str, answer: Sequence[Any]) -> ListSummary:
    if not answer:
        return ListSummary(exists=False)
    with as_fault("listing_read"):
        return _read_summary(notification_id, answer)


@reader
def _read_summary(notification_id: str, answer: Sequence[Any]) -> ListSummary:
    raw, still_open, moved_to, *statuses = answer
    steps = iter(statuses)
    counts: Counter[str] = Counter()
    for letter, count in zip(steps, steps, strict=True):
        counts[str(STATUS_OF.get(text(letter).encode(), "corrupt"))] += int(count)
    return ListSummary(
        exists=True,
        record=readable_record(notification_id, raw),
        record_bytes=len(raw),
        open=number(still_open) if still_open else None,
        moved_to_ms=number(moved_to) or None,
        statuses=counts,
    )
