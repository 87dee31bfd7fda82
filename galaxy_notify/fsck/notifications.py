"""Notifications as fsck sees them: their routes, how many they count, whether they expire."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from galaxy_notify.fsck.pages import PAGE, is_foreign
from galaxy_notify.model.route import FORMATS, NEEDING, STATUS_OF, newer_state
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.calls import words
from galaxy_notify.redis_state.keys import Keys

# More than any part of a notification can have; a hash with more is not of our making.
_MOST_FIELDS: Final = 4000
_NO_KEY: Final = -2
# Redis counts in 64 bits: what is longer was not counted.
_NUMBER: Final = re.compile(rb"-?[0-9]{1,18}")


@dataclass
class SeenNotification:
    """A notification's hash; *ttl_ms* is -1 where it never expires."""

    name: str
    open: bytes | None
    ttl_ms: int
    states: dict[bytes, bytes] = field(default_factory=dict)
    foreign: bool = False

    @property
    def vanished(self) -> bool:
        """Return whether it has gone since its name was read."""
        return self.ttl_ms == _NO_KEY

    @property
    def readable(self) -> bool:
        """Return whether the status of every state is readable."""
        return all(map(_is_readable, self.states.values()))

    @property
    def needing(self) -> int:
        """Return how many routes need it."""
        return sum(STATUS_OF.get(state[1:2]) in NEEDING for state in self.states.values())

    @property
    def counted(self) -> int | None:
        """Return how many routes it counts, or None where that is no number."""
        text = self.open or b"0"
        return int(text) if _NUMBER.fullmatch(text) else None


class Miscount(NamedTuple):
    """A fault of a notification: its code, what is wrong, and what a repair does."""

    code: str
    what: str
    mends: str


def miscount(one: SeenNotification) -> Miscount | None:
    """Return what is wrong with how a notification counts its routes, or else with its expiry."""
    if one.foreign or one.vanished or not one.readable:
        return None
    needing = one.needing
    if one.counted != needing:
        counted = (one.open or b"none").decode("ascii", "backslashreplace")
        what = f"{needing} of its routes need it, but it counts {counted}"
        return Miscount("miscounted", what, "recounted, expires when no route needs it")
    if needing and one.ttl_ms >= 0:
        return Miscount("expires", "expires although routes need it", "kept")
    if not needing and one.ttl_ms == -1:
        return Miscount("endless", "never expires although no route needs it", "made to expire")
    return None


def should_be_indexed(one: SeenNotification, state: bytes) -> bool:
    """Return whether an index should have the route of this state.

    One that cannot be read may have ended: its notification knows, as long as it does not expire.
    """
    if newer_state(state):
        return False
    return STATUS_OF[state[1:2]] in NEEDING if _is_readable(state) else one.ttl_ms == -1


def _is_readable(state: bytes) -> bool:
    return state[:1] in FORMATS and state[1:2] in STATUS_OF


class Balance(NamedTuple):
    """Whether all that was accepted is accounted for, and by how many not."""

    word: str
    difference: int


def read_notifications(keys: Keys, names: Sequence[str]) -> Flow[list[SeenNotification]]:
    """Read what a page of notifications counts, and the states of their routes; no record."""
    commands: list[Command] = []
    for name in names:
        key = keys.notification(name)
        commands += [Command(["HLEN", key]), Command(["PTTL", key]), Command(["HGET", key, "open"])]
    replies = iter((yield commands))
    found = []
    for name, (size, ttl, counted) in zip(names, zip(*[replies] * 3, strict=True), strict=True):
        foreign = is_foreign(size) or is_foreign(counted) or size > _MOST_FIELDS
        stored = None if foreign else counted
        found.append(SeenNotification(name, stored, unwrap(ttl), foreign=foreign))
    yield from _read_states(keys, [one for one in found if not (one.foreign or one.vanished)])
    return found


def recount_notifications(
    keys: Keys, items: Sequence[SeenNotification], keep_ms: int, *, fix: bool
) -> Flow[list[str]]:
    """Read again, and repair if *fix*, a few at a time; return a word for each."""
    answers: list[str] = []
    for chunk in _chunks(items):
        (reply,) = yield [fsck_recount(keys, chunk, keep_ms, fix=fix)]
        answers += words(unwrap(reply))
    return answers


def fsck_recount(
    keys: Keys, items: Iterable[SeenNotification], keep_ms: int, *, fix: bool
) -> ScriptCall:
    """Compare notifications with what was read and, if *fix*, correct their counts and expiry."""
    args: list[Argument] = [keys.tag, "1" if fix else "", keep_ms]
    for item in items:
        args += (item.name, item.open or "", item.needing, "1" if item.ttl_ms >= 0 else "")
    return ScriptCall(script("fsck_recount"), [keys.never], args)


def balance_totals(
    keys: Keys, channels: Sequence[str], difference: int | None = None
) -> Flow[Balance]:
    """Compare what was accepted with all outcomes; repair the *difference* that was read."""
    (reply,) = yield [fsck_totals(keys, channels, difference)]
    return _balanced(unwrap(reply))


@reader
def _balanced(reply: Sequence[Any]) -> Balance:
    word, by = reply
    return Balance(words([word])[0], int(by))


def fsck_totals(keys: Keys, channels: Sequence[str], difference: int | None) -> ScriptCall:
    """Add up the totals of a shard and, where a difference is given, repair it."""
    read: Argument = "" if difference is None else difference
    return ScriptCall(script("fsck_totals"), [keys.totals, keys.never], [keys.tag, read, *channels])


def _read_states(keys: Keys, seen: Sequence[SeenNotification]) -> Flow[None]:
    names = yield [Command(["HKEYS", keys.notification(one.name)]) for one in seen]
    wanted: list[tuple[SeenNotification, list[bytes]]] = []
    for one, fields in zip(seen, names, strict=True):
        if is_foreign(fields):
            one.foreign = True
            continue
        routes = [name for name in fields if b":" in name]
        wanted += [(one, routes[at : at + PAGE]) for at in range(0, len(routes), PAGE)]
    replies = yield [Command(["HMGET", keys.notification(one.name), *some]) for one, some in wanted]
    for (one, routes), states in zip(wanted, replies, strict=True):
        pairs: Any = zip(routes, unwrap(states), strict=True)
        one.states |= {route: state for route, state in pairs if state is not None}


def _chunks(items: Sequence[SeenNotification]) -> Iterator[list[SeenNotification]]:
    """Divide notifications so that no call counts many more routes than one of them may have."""
    chunk: list[SeenNotification] = []
    routes = 0
    for item in items:
        if chunk and routes + len(item.states) > PAGE:
            yield chunk
            chunk, routes = [], 0
        chunk.append(item)
        routes += len(item.states)
    if chunk:
        yield chunk
