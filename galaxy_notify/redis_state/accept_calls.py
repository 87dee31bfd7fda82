"""The calls of the script accept: notifications of one shard, in calls of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.notification import NewNotification
from galaxy_notify.redis_client.faults import UNREADABLE, RedisFault
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: Why nothing is known where the answer was of no shape that accept answers with.
UNREAD: Final = f"{UNREADABLE}: accept returned an unreadable reply"
_WORDS: Final = {
    word.encode(): word.value
    for word in (Word.ACCEPTED, Word.DUPLICATE, Word.CONFLICT, Word.CHECK_RULES, Word.FAULT)
}
#: Redis runs a call of this size in one or two milliseconds.
ROUTES_PER_CALL: Final = 200
BYTES_PER_CALL: Final = 1 << 18


def intent_accept(
    keys: Keys, items: Iterable[NewNotification], *, ruled: bool = False
) -> ScriptCall:
    """Create notifications of one shard with at most a thousand routes in all.

    Unless they were *ruled* by the users' preferences, it asks for that where there are any.
    """
    args: list[Argument] = [keys.tag, "", "1" if ruled else ""]
    for item in items:
        args += _arguments(item)[0]
    return ScriptCall(script("intent_accept"), [keys.totals, keys.never], args)


class AcceptOutcome(NamedTuple):
    """The answer for one part, and how many routes it was sent with, skipped ones included."""

    word: str
    detail: str
    routes: int
    skipped: int


class AcceptCalls:
    """Groups parts by shard, in order, into calls of bounded size."""

    __slots__ = ("_full", "_key_space", "_open", "_ruled")

    def __init__(self, key_space: KeySpace, *, ruled: bool) -> None:
        self._key_space = key_space
        self._ruled = ruled
        self._full: list[_AcceptCall] = []
        self._open: dict[str, _AcceptCall] = {}

    def add(self, place: int, item: NewNotification) -> ScriptCall | None:
        """Take a part; return the call of its shard if that is full, which is to be sent now."""
        keys = self._key_space.keys_for(item.notification_id)
        size, (args, routes, skipped) = len(item.record), _arguments(item)
        current, full = self._open.get(keys.tag), None
        if current is None or not current.has_room(routes, size):
            full, current = current, _AcceptCall(keys, self._ruled)
            self._open[keys.tag] = current
            if full is not None:
                self._full.append(full)
        current.call.args.extend(args)
        current.parts.append((place, routes, skipped))
        current.routes += routes
        current.bytes += size
        return full.call if full is not None else None

    def rest(self) -> list[ScriptCall]:
        """Return the calls that are not full, which are to be sent last."""
        return [current.call for current in self._open.values()]

    def outcomes(self, replies: Sequence[Any]) -> dict[int, AcceptOutcome]:
        """Return the outcome of each part by its place, from the replies, or faults, to all."""
        outcomes: dict[int, AcceptOutcome] = {}
        for accept_call, reply in zip((*self._full, *self._open.values()), replies, strict=True):
            answers = _answers(reply, len(accept_call.parts))
            for (place, routes, skipped), (word, detail) in zip(
                accept_call.parts, answers, strict=True
            ):
                outcomes[place] = AcceptOutcome(word, detail, routes, skipped)
        return outcomes


class _AcceptCall:
    """A call that accepts *parts* of one shard: of each its place among all, and its counts."""

    __slots__ = ("bytes", "call", "parts", "routes")

    def __init__(self, keys: Keys, ruled: bool) -> None:
        self.call = intent_accept(keys, (), ruled=ruled)
        self.parts: list[tuple[int, int, int]] = []
        self.routes = 0
        self.bytes = 0

    def has_room(self, routes: int, size: int) -> bool:
        """Return whether this many routes and a record of this size fit into the call, too."""
        return self.routes + routes <= ROUTES_PER_CALL and self.bytes + size <= BYTES_PER_CALL


def _arguments(item: NewNotification) -> tuple[list[Argument], int, int]:
    """Return the arguments of a part, the number of its routes, and how many are skipped."""
    notification_id, record, keep_ms, groups = item
    # Numbers as text: a command without numbers is packed as it is.
    args: list[Argument] = [notification_id, record, str(keep_ms), str(len(groups))]
    all_routes = all_skipped = 0
    for state, routes, skipped in groups:
        count = len(routes)
        args += (state, skipped, str(count), *routes)
        all_routes += count
        if skipped:
            all_skipped += count
    return args, all_routes, all_skipped


def _answers(reply: Any, size: int) -> list[tuple[str, str]]:
    """Return a word and a detail for each part; what cannot be read says nothing of any."""
    if isinstance(reply, RedisFault):
        return [(Word.FAULT if reply.wrote_nothing else Word.UNKNOWN, str(reply))] * size
    try:
        flat = iter(reply)
        answers = [
            (_WORDS[word], detail.decode("utf-8", "replace"))
            for word, detail in zip(flat, flat, strict=True)
        ]
    except (LookupError, ValueError, TypeError, AttributeError):
        answers = []
    return answers if len(answers) == size else [(Word.UNKNOWN, UNREAD)] * size
