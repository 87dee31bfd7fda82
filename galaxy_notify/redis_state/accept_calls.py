"""The calls of the script accept: notifications of one shard, in calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault
from galaxy_notify.redis_client.scripts import Argument, Call, script
from galaxy_notify.redis_state.deployment import Layout
from galaxy_notify.redis_state.keys import Keys

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept answered what cannot be read"
# Redis runs a call of this size in one or two milliseconds.
_ROUTES_PER_CALL: Final = 200
_BYTES_PER_CALL: Final = 1 << 18


class Group(NamedTuple):
    """Routes of a notification that begin with the same state, and why a rule *skipped* them."""

    state: bytes
    routes: Sequence[str]
    skipped: str = ""


class NewNotification(NamedTuple):
    """A notification, or a part of it, ready to be accepted.

    *keep_ms* is how long it is kept where none of its routes waits.
    """

    notification_id: str
    record: bytes
    keep_ms: int
    groups: Sequence[Group]

    @property
    def routes(self) -> list[str]:
        """Return the ids of all its routes."""
        return [route for group in self.groups for route in group.routes]


def accept(
    keys: Keys,
    items: Iterable[NewNotification],
    now: int | None = None,
    *,
    ruled: bool = False,
) -> Call:
    """Create notifications of one shard with at most a thousand routes in all.

    Unless they were *ruled* by the users' preferences, it asks for that where there are any.
    """
    args: list[Argument] = [keys.tag, "" if now is None else now, "1" if ruled else ""]
    for notification_id, record, keep_ms, groups in items:
        args += (notification_id, record, keep_ms, len(groups))
        for state, routes, skipped in groups:
            args += (state, skipped, len(routes), *routes)
    return Call(script("accept"), [keys.totals, keys.never], args)


class Outcome(NamedTuple):
    """The answer for one part, and how many routes it was sent with, skipped ones included."""

    word: str
    detail: str
    routes: int
    skipped: int


class AcceptCall(NamedTuple):
    """Parts of one shard that one call accepts, and the places of these among all."""

    keys: Keys
    items: Sequence[NewNotification]
    places: Sequence[int]
    ruled: bool

    @property
    def call(self) -> Call:
        """Return the call."""
        return accept(self.keys, self.items, ruled=self.ruled)

    def outcomes(self, reply: Any) -> list[Outcome]:
        """Return what a reply, or a fault in its place, says of each part."""
        return [
            Outcome(
                word,
                detail,
                sum([len(group.routes) for group in item.groups]),
                sum([len(group.routes) for group in item.groups if group.skipped]),
            )
            for item, (word, detail) in zip(self.items, self._answers(reply), strict=True)
        ]

    def _answers(self, reply: Any) -> list[tuple[str, str]]:
        """Return a word and a detail for each part; what cannot be read says nothing of any."""
        size = len(self.items)
        if isinstance(reply, RedisFault):
            return [("fault" if reply.wrote_nothing else "unknown", str(reply))] * size
        try:
            flat = iter([part.decode("utf-8", "replace") for part in reply])
            answers = list(zip(flat, flat, strict=True))
        except (ValueError, TypeError, AttributeError):
            return [("unknown", UNREAD)] * size
        return answers if len(answers) == size else [("unknown", UNREAD)] * size


class AcceptCalls:
    """Groups parts by shard, in order, into calls of bounded size."""

    def __init__(self, layout: Layout, *, ruled: bool) -> None:
        self._layout = layout
        self._ruled = ruled
        self._waiting: dict[str, _Waiting] = {}

    def add(self, place: int, item: NewNotification) -> AcceptCall | None:
        """Take a part; return the call that is full, if it does not fit into that any more."""
        keys = self._layout.keys_for(item.notification_id)
        waiting = self._waiting.get(keys.tag)
        if waiting is not None and waiting.takes(place, item):
            return None
        self._waiting[keys.tag] = fresh = _Waiting(keys)
        fresh.takes(place, item)
        return self._call(waiting) if waiting is not None else None

    def rest(self) -> list[AcceptCall]:
        """Return the calls of the parts that wait."""
        return [self._call(waiting) for waiting in self._waiting.values()]

    def _call(self, waiting: _Waiting) -> AcceptCall:
        return AcceptCall(waiting.keys, waiting.items, waiting.places, self._ruled)


class _Waiting:
    """Parts of one shard that wait for their call."""

    __slots__ = ("bytes", "items", "keys", "places", "routes")

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.items: list[NewNotification] = []
        self.places: list[int] = []
        self.routes = 0
        self.bytes = 0

    def takes(self, place: int, item: NewNotification) -> bool:
        """Take a part, unless the call is full."""
        routes = self.routes + sum([len(group.routes) for group in item.groups])
        size = self.bytes + len(item.record)
        if self.items and (routes > _ROUTES_PER_CALL or size > _BYTES_PER_CALL):
            return False
        self.items.append(item)
        self.places.append(place)
        self.routes, self.bytes = routes, size
        return True
