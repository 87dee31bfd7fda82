"""What users want to be told, read and stored, as plain generators like accepting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from galaxy_notify.model.user_preferences import UserPreferences
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.flows import Flow, unwrap
from galaxy_notify.redis_client.scripts import ScriptCall
from galaxy_notify.redis_state import calls
from galaxy_notify.redis_state.calls import Answer
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.preferences import (
    MOST_USERS,
    Recalled,
    UserChange,
    preference_read,
    preference_read_page,
    preference_set,
    read_preferences,
)
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

# Redis stores so many in about a millisecond.
_FIELDS_PER_CALL: Final = 512


def change_flow(key_space: KeySpace, changes: Sequence[UserChange]) -> Flow[list[Answer]]:
    """Store what users want and return an answer for each change, in order.

    Whoever accepts a notification looks for preferences only on a shard that is marked, so all
    shards are before anything is stored on any of them. Raises `RedisFault` where one cannot be.
    """
    shards = key_space.all_keys
    if len(shards) > 1 and any(change.adds for change in changes):
        for reply in (yield [preference_set(keys, ()) for keys in shards]):
            unwrap(reply)
    batches = list(_batches(key_space, changes))
    replies = yield [_call(keys, changes, places) for keys, places in batches]
    found: dict[int, Answer] = {}
    for (_, places), reply in zip(batches, replies, strict=True):
        found |= zip(places, _answers(reply, len(places)), strict=True)
    return [found[place] for place in range(len(changes))]


def get_flow(key_space: KeySpace, user: str) -> Flow[UserPreferences]:
    """Return all that a user wants. Raises `RedisFault`."""
    (reply,) = yield [preference_read(key_space.keys_of_user(user), user)]
    ((_, preferences),) = _recalled(reply).users
    return preferences


def page_flow(keys: Keys, cursor: bytes) -> Flow[Recalled]:
    """Return the next page of the users of a shard, and what they want. Raises `RedisFault`.

    Who changes meanwhile may come twice or not at all; who does not comes at least once.
    """
    (reply,) = yield [preference_read_page(keys, cursor)]
    return _recalled(reply)


def _recalled(reply: Any) -> Recalled:
    with as_fault("preference_read"):
        return read_preferences(unwrap(reply))


def _batches(
    key_space: KeySpace, changes: Iterable[UserChange]
) -> Iterator[tuple[Keys, list[int]]]:
    """Group changes by shard, in order, into calls of bounded size; yield their places."""
    shards: dict[Keys, list[int]] = {}
    sizes: dict[Keys, int] = {}
    for place, change in enumerate(changes):
        keys, size = key_space.keys_of_user(change.user), len(change.fields)
        waiting = shards.setdefault(keys, [])
        full = len(waiting) == MOST_USERS or sizes.get(keys, 0) + size > _FIELDS_PER_CALL
        if waiting and full:
            yield keys, waiting
            waiting, sizes[keys] = [], 0
        waiting.append(place)
        shards[keys], sizes[keys] = waiting, sizes.get(keys, 0) + size
    yield from shards.items()


def _call(keys: Keys, changes: Sequence[UserChange], places: Iterable[int]) -> ScriptCall:
    return preference_set(keys, [changes[place] for place in places])


def _answers(reply: Any, items: int) -> list[Answer]:
    """Read the answers of a call; where it failed, or cannot be read, nothing is known of any."""
    if isinstance(reply, RedisFault):
        word = Word.REFUSED if reply.wrote_nothing else Word.UNKNOWN
        return [Answer(word, str(reply))] * items
    try:
        return calls.answers(reply, items)
    except (ValueError, TypeError, AttributeError):
        return [Answer(Word.UNKNOWN, "preference_set answered what cannot be read")] * items
