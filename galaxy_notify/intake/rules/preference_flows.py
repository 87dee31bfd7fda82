"""Reading and storing the preferences of users, as flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.preferences import (
    MOST_USERS,
    PreferencePage,
    UserChange,
    preference_read,
    preference_read_page,
    preference_set,
    read_preferences,
)
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

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
