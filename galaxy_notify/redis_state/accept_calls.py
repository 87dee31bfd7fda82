"""The calls of the script accept: notifications of one shard, in calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.notification import NewNotification, RouteGroup
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept returned an unreadable reply"
_WORDS: Final = frozenset(
    {Word.ACCEPTED, Word.DUPLICATE, Word.CONFLICT, Word.CHECK_RULES, Word.FAULT}
)
# Redis runs a call of this size in one or two milliseconds.
_ROUTES_PER_CALL: Final = 200
_BYTES_PER_CALL: Final = 1 << 18


def intent_accept(
    keys: Keys,
    items: Iterable[NewNotification],
    now: int | None = None,
    *,
    ruled: bool = False,
) -> ScriptCall:
    """Create notifications of one shard with at most a thousand routes in all.

    Unless they were *ruled* by the users' preferences, it asks for that where there are any.
    """
    args: list[Argument] = [keys.tag, "" if now is None else now, "1" if ruled else ""]
    for notification_id, record, keep_ms, groups in items:
        args += (notification_id, record, keep_ms, len(groups))
        for state, routes, skipped in groups:
            args += (state, skipped, len(routes), *routes)
    return ScriptCall(script("intent_accept"), [keys.totals, keys.never], args)


class AcceptOutcome(NamedTuple):
    """The answer for one part, and how many routes it was sent with, skipped ones included."""

    word: str
    detail: str
    routes: int
    skipped: int


class AcceptCall(NamedTuple):
    """A call that accepts parts of one shard, and of each its place among all and its counts."""

    call: ScriptCall
    places: Sequence[int]
    counts: Sequence[tuple[int, int]]

    def outcomes(self, reply: Any) -> Iterator[tuple[int, AcceptOutcome]]:
        """Return the place of each part, and what a reply, or a fault in its place, says of it."""
        answers = _answers(reply, len(self.places))
        for place, (word, detail), counts in zip(self.places, answers, self.counts, strict=True):
            yield place, AcceptOutcome(word, detail, *counts)


class AcceptCalls:
    """Groups parts by shard, in order, into calls of bounded size."""

    __slots__ = ("_key_space", "_ruled", "_waiting")

    def __init__(self, key_space: KeySpace, *, ruled: bool) -> None:
        self._key_space = key_space
        self._ruled = ruled
        self._waiting: dict[str, _Waiting] = {}

    def add(self, place: int, item: NewNotification) -> AcceptCall | None:
        """Take a part; return the call that is full, if it does not fit into that any more."""
        keys, counts = self._key_space.keys_for(item.notification_id), _counts(item.groups)
        waiting = self._waiting.get(keys.tag)
        if waiting is not None and waiting.has_room(counts[0], len(item.record)):
            waiting.take(place, item, counts)
            return None
        self._waiting[keys.tag] = fresh = _Waiting(keys)
        fresh.take(place, item, counts)
        return waiting.call(self._ruled) if waiting is not None else None

    def rest(self) -> list[AcceptCall]:
        """Return the calls of the parts that wait."""
        return [waiting.call(self._ruled) for waiting in self._waiting.values()]


class _Waiting:
    """Parts of one shard that wait for their call."""

    __slots__ = ("bytes", "counts", "items", "keys", "places", "routes")

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.items: list[NewNotification] = []
        self.places: list[int] = []
        self.counts: list[tuple[int, int]] = []
        self.routes = 0
        self.bytes = 0

    def has_room(self, routes: int, size: int) -> bool:
        """Return whether this many routes and a record of this size fit into the same call."""
        return self.routes + routes <= _ROUTES_PER_CALL and self.bytes + size <= _BYTES_PER_CALL

    def take(self, place: int, item: NewNotification, counts: tuple[int, int]) -> None:
        """Take a part, however large: a call has one at least."""
        self.items.append(item)
        self.places.append(place)
        self.counts.append(counts)
        self.routes += counts[0]
        self.bytes += len(item.record)

    def call(self, ruled: bool) -> AcceptCall:
        """Return the call; of the parts nothing else is kept."""
        return AcceptCall(
            intent_accept(self.keys, self.items, ruled=ruled), self.places, self.counts
        )


def _answers(reply: Any, size: int) -> list[tuple[str, str]]:
    """Return a word and a detail for each part; what cannot be read says nothing of any."""
    if isinstance(reply, RedisFault):
        return [(Word.FAULT if reply.wrote_nothing else Word.UNKNOWN, str(reply))] * size
    try:
        flat = iter([part.decode("utf-8", "replace") for part in reply])
        answers = list(zip(flat, flat, strict=True))
    except (ValueError, TypeError, AttributeError):
        return [(Word.UNKNOWN, UNREAD)] * size
    is_read = len(answers) == size and _WORDS.issuperset([word for word, _ in answers])
    return answers if is_read else [(Word.UNKNOWN, UNREAD)] * size


def _counts(groups: Sequence[RouteGroup]) -> tuple[int, int]:
    """Return how many routes there are, and how many of them are skipped."""
    if len(groups) == 1:
        size = len(groups[0].routes)
        return size, size if groups[0].skipped else 0
    sizes = [len(group.routes) for group in groups]
    return sum(sizes), sum(size for size, group in zip(sizes, groups, strict=True) if group.skipped)
