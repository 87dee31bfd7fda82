"""The recent lists in Redis: the newest events of each user, on the user's own shard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.cursor import (
    BEGINNING,
    RETRACTION_MARK,
    Cursor,
    parse_cursor,
    recent_id,
)
from galaxy_notify.model.feed import Counts, parse_counts
from galaxy_notify.model.ids import first_part
from galaxy_notify.model.live_event import Retraction
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.words import Word

#: Events that one call may deliver.
DELIVER_MAX: Final = 128
_FIELDS: Final = 3
_READ_FIELDS: Final = 4
_MS: Final = re.compile(rb"[0-9]{1,15}")
#: Begins the name of an application in presence: it holds connections of its own, and no inbox.
_APPLICATION: Final = "app:"


def application_name(instance: str) -> str:
    """Return the name of an application's instance in presence."""
    return _APPLICATION + instance


def is_application(name: str) -> bool:
    """Return whether a name in presence is that of an application: it has no inbox."""
    return name.startswith(_APPLICATION)


def plain_name(name: str) -> str:
    """Return the name of an instance as it calls itself."""
    return name.removeprefix(_APPLICATION)


class RecentLimits(NamedTuple):
    """How many events a list keeps, and for how long after its last event."""

    history: int
    keep_ms: int


class NewEvent(NamedTuple):
    """An event to append to the recent list of a user; a *mark* before its id says what it is."""

    user: str
    notification_id: str
    packed: bytes
    mark: bytes = b""

    @property
    def list_id(self) -> bytes:
        """Return the id by which the list knows it, behind its mark."""
        return self.mark + recent_id(self.notification_id)


def new_retraction(user: str, notification_id: str) -> NewEvent:
    """Return the retraction of a notification, to append to the recent list of a user.

    Both have a place there, and that of the notification loses its text. A notification that comes
    later is not appended.
    """
    name = first_part(notification_id)
    return NewEvent(user, name, Retraction(name).packed, RETRACTION_MARK)


class Delivered(NamedTuple):
    """What became of a `NewEvent`.

    *cursor* is the event's; it is None if the event was refused for the *reason*. *instances* hold
    connections of the user, and have an inbox. *is_new* is False if the list held the event
    already, or its retraction: then the cursor is that one's, and no instance is named. *before* is
    the check of the event before it, that of `BEGINNING` for the first one; empty where the list
    has lost it.
    """

    cursor: Cursor | None
    instances: Sequence[str] = ()
    is_new: bool = False
    reason: str = ""
    before: str = ""


def user_deliver(
    keys: Keys, limits: RecentLimits, epoch: str, events: Sequence[NewEvent], now: int | None = None
) -> ScriptCall:
    """Append at most `DELIVER_MAX` events of one shard; safe to repeat.

    *epoch* begins the names of new epochs: letters and digits that no other call has.
    """
    args: list[Argument] = [keys.tag, "" if now is None else now, *limits, epoch]
    for event in events:
        args += (event.user, event.list_id, event.packed)
    return ScriptCall(script("user_deliver"), [keys.never], args)


@reader
def read_delivered(reply: Any, events: Sequence[NewEvent]) -> list[Delivered]:
    """Read the answer to `user_deliver` of these events."""
    if len(reply) != _FIELDS * len(events):
        raise ValueError(f"no answer of {len(events)} events")
    rows = zip(events, reply[::_FIELDS], reply[1::_FIELDS], reply[2::_FIELDS], strict=True)
    return [_delivered(*row) for row in rows]


def _delivered(event: NewEvent, word: bytes, place: bytes, detail: Any) -> Delivered:
    if word == b"fault":
        return Delivered(None, reason=detail.decode("utf-8", "replace"))
    instances = [name for name in map(bytes.decode, detail) if not is_application(name)]
    own, _, before = place.partition(b" ")
    return Delivered(_cursor(own), instances, word == b"appended", before=before.decode())


class RecentPlace(NamedTuple):
    """From where on a user's events are read."""

    user: str
    cursor: Cursor


class StoredEvent(NamedTuple):
    """An event of a recent list; *packed* is what `NewEvent` had."""

    cursor: Cursor
    packed: bytes


class Missed(NamedTuple):
    """What a user has behind a cursor.

    *word* is ``read``, or the reason why events may be missing. *events* follow the cursor in order
    and without a hole; there are more of them where the last is not the *top*.
    """

    word: str
    top: Cursor
    events: Sequence[StoredEvent] = ()
    reason: str = ""


def recent_read(keys: Keys, places: Sequence[RecentPlace], *, most: int, count: int) -> ScriptCall:
    """Read at most *count* events behind each place; none where more than *most* are there."""
    args: list[Argument] = [keys.tag, most, count]
    for user, cursor in places:
        args += (user, *cursor)
    return ScriptCall(script("recent_read"), [keys.never], args)


@reader
def read_missed(reply: Any, places: int) -> list[Missed]:
    """Read the answer to `recent_read` of this many places."""
    if len(reply) != places:
        raise ValueError(f"no answer of {places} places")
    return [_missed(*row) for row in reply]


def _missed(word: bytes, top: bytes, flat: Any) -> Missed:
    if word == b"fault":
        return Missed(Word.FAULT, BEGINNING, reason=top.decode("utf-8", "replace"))
    if len(flat) % 2:
        raise ValueError("not pairs")
    return Missed(word.decode(), _cursor(top), tuple(map(stored_event, flat[1::2])))


def stored_event(stored: bytes) -> StoredEvent:
    """Return the event of a pair of a recent list; raise `ValueError` if it is invalid."""
    place, found, packed = stored.partition(b" ")
    if not found:
        raise ValueError("an event without a place")
    return StoredEvent(_cursor(place), packed)


def presence_attend(
    keys: Keys, instance: str, users: Sequence[str], ttl_ms: int, now: int | None = None
) -> ScriptCall:
    """Note for *ttl_ms* that an instance holds connections of at most 250 users of one shard."""
    args: list[Argument] = [keys.tag, "" if now is None else now, ttl_ms, instance, *users]
    return ScriptCall(script("presence_attend"), [keys.never], args)


def presence_end(keys: Keys, instance: str, user: str) -> Command:
    """Note that an instance holds no connection of a user any more."""
    return Command(["ZREM", keys.presence(user), instance])


class Here(NamedTuple):
    """What holds for a user whose presence was noted.

    *top* is the newest event of the recent list. *counts* are None without an unread mark.
    """

    top: Cursor
    counts: Counts | None


@reader
def read_here(reply: Any, users: int) -> list[Here | None]:
    """Read what `presence_attend` answers; None for a user whose presence was refused."""
    if len(reply) != 2 * users:
        raise ValueError(f"no answer of {users} users")
    return [
        Here(_cursor(place), parse_counts(mark.split(b" "))) if place else None
        for place, mark in zip(reply[::2], reply[1::2], strict=True)
    ]


@reader
def read_logouts(reply: Any) -> list[int]:
    """Read when users were logged out; 0 for who was not. What is no time counts as none."""
    return [int(at) if at is not None and _MS.fullmatch(at) else 0 for at in reply]


def _cursor(place: bytes) -> Cursor:
    cursor = parse_cursor(place.decode())
    if cursor is None:
        raise ValueError("not a place of a recent list")
    return cursor
