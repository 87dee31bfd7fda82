"""The preferences of users in Redis: one hash for each user, on the user's own shard.

Script calls and their replies, and the flows that read and store preferences with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.preference import LONGEST, PreferenceFields
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.keys import Keys, keys_with
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: Users that one call may name.
MOST_USERS: Final = 256
#: Keys that a page of all users looks at.
_COUNT: Final = 256
_FIELDS: Final = len(PreferenceFields._fields)


def preference_query(keys: Keys, type_name: str, users: Sequence[str]) -> ScriptCall:
    """Read what users of one shard prefer for a type; at most `MOST_USERS` of them."""
    args: list[Argument] = [keys.tag, f"type:{type_name}", LONGEST, *users]
    return ScriptCall(script("preference_query"), [keys.never], args)


@reader
def read_queried(reply: Any, users: int) -> list[PreferenceFields]:
    """Read the answer to `preference_query`: six values for each user."""
    if not isinstance(reply, list) or len(reply) != _FIELDS * users:
        raise ValueError(f"no answer of {users} users")
    # A value that is not bytes, such as an error within the list, counts as absent.
    known = [value if isinstance(value, bytes) else None for value in reply]
    return [PreferenceFields(*known[at : at + _FIELDS]) for at in range(0, len(known), _FIELDS)]


class UserChange(NamedTuple):
    """The fields to store for a user; an empty value removes its field, *whole* all others.

    A user without fields is deleted. With *expected*, the change is made only if what is stored has
    one of these digests (`UserPreferences.digest`), or is what the change makes of it.
    """

    user: str
    fields: Mapping[str, bytes]
    whole: bool = False
    expected: Sequence[str] = ()

    @property
    def adds(self) -> bool:
        """Return whether anything is to be stored, not only taken away."""
        return any(self.fields.values())


def preference_set(keys: Keys, changes: Iterable[UserChange]) -> ScriptCall:
    """Store what users of one shard want; without any of them, mark the shard for later ones."""
    args: list[Argument] = [keys.tag, MOST_FIELDS, LONGEST]
    for user, fields, whole, expected in changes:
        args += (user, "1" if whole else "", " ".join(expected), len(fields))
        for name, value in fields.items():
            args += (name, value)
    return ScriptCall(script("preference_set"), [keys.preferred, keys.never], args)


def preference_read_page(keys: Keys, cursor: bytes | str = "0") -> ScriptCall:
    """Read all that is stored of a page of the users of one shard."""
    return preference_read(keys, cursor=cursor)


def preference_read(keys: Keys, *users: str, cursor: bytes | str = "") -> ScriptCall:
    """Read all that is stored of some users of one shard, or of a page of them."""
    pattern = keys_with(keys.preferences(""))
    # A few foreign fields are reported; a hash with many is not read.
    args: list[Argument] = [keys.tag, 2 * MOST_FIELDS, LONGEST, cursor, pattern, _COUNT, *users]
    return ScriptCall(script("preference_read"), [keys.never], args)


class PreferencePage(NamedTuple):
    """What is stored of users, and where the next page begins: ``0`` after the last one."""

    cursor: bytes
    users: Sequence[tuple[bytes, UserPreferences]]


@reader
def read_preferences(reply: Any, users: int | None = None) -> PreferencePage:
    """Read the answer to `preference_read` of *users*, or of a page."""
    cursor, flat = reply
    if users is not None and len(flat) != 2 * users:
        raise ValueError(f"no answer of {users} users")
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return PreferencePage(cursor, [(name, _preferences(fields)) for name, fields in pairs])


def _preferences(fields: Any) -> UserPreferences:
    if isinstance(fields, list):
        return UserPreferences.from_fields(dict(zip(fields[::2], fields[1::2], strict=True)))
    return UserPreferences(unreadable=("(all)",))


# Redis stores this many fields in about a millisecond.
_FIELDS_PER_CALL: Final = 512


def change_flow(key_space: KeySpace, changes: Sequence[UserChange]) -> Flow[list[Answer]]:
    """Store the preferences of users; return an answer for each change, in order.

    An accept reads preferences only on a shard that is marked, so all shards are marked before
    anything is stored. Raises `RedisFault` if a shard cannot be marked.
    """
    shards = key_space.all_keys
    if len(shards) > 1 and any(change.adds for change in changes):
        for reply in (yield [preference_set(keys, ()) for keys in shards]):
            unwrap(reply)
    batches = list(_batches(key_space, changes))
    replies = yield [
        preference_set(keys, [changes[place] for place in places]) for keys, places in batches
    ]
    answers: dict[int, Answer] = {}
    for (_, places), reply in zip(batches, replies, strict=True):
        answers |= zip(places, _answers_of(reply, len(places)), strict=True)
    return [answers[place] for place in range(len(changes))]


def get_flow(key_space: KeySpace, user: str) -> Flow[UserPreferences]:
    """Return the preferences of a user. Raises `RedisFault`."""
    (reply,) = yield [preference_read(key_space.keys_of_user(user), user)]
    ((_, preferences),) = _recalled(reply, 1).users
    return preferences


def page_flow(keys: Keys, cursor: bytes) -> Flow[PreferencePage]:
    """Return the next page of the users of a shard with their preferences. Raises `RedisFault`.

    A user whose preferences change during the scan may appear twice or not at all; any other user
    appears at least once.
    """
    (reply,) = yield [preference_read_page(keys, cursor)]
    return _recalled(reply)


def _recalled(reply: Any, users: int | None = None) -> PreferencePage:
    with as_fault("preference_read"):
        return read_preferences(unwrap(reply), users)


def _batches(
    key_space: KeySpace, changes: Iterable[UserChange]
) -> Iterator[tuple[Keys, list[int]]]:
    """Group changes by shard, in order, into calls of bounded size.

    Yields the keys of the shard and the indexes of the changes of one call.
    """
    shards: dict[Keys, list[int]] = {}
    sizes: dict[Keys, int] = {}
    for place, change in enumerate(changes):
        keys, size = key_space.keys_of_user(change.user), len(change.fields)
        places = shards.setdefault(keys, [])
        full = len(places) == MOST_USERS or sizes.get(keys, 0) + size > _FIELDS_PER_CALL
        if places and full:
            yield keys, places
            places, sizes[keys] = [], 0
        places.append(place)
        shards[keys], sizes[keys] = places, sizes.get(keys, 0) + size
    yield from shards.items()


def _answers_of(reply: Any, items: int) -> list[Answer]:
    """Return the answers of a call; the word is ``unknown`` for all if it has no valid reply."""
    if isinstance(reply, RedisFault):
        word = Word.REFUSED if reply.wrote_nothing else Word.UNKNOWN
        return [Answer(word, str(reply))] * items
    try:
        return calls.answers(reply, items)
    except (ValueError, TypeError, AttributeError):
        return [Answer(Word.UNKNOWN, "preference_set returned an unreadable reply")] * items
