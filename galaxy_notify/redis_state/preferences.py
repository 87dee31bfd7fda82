"""The preferences of users in Redis: one hash for each user, on the user's own shard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.preference import LONGEST, PreferenceFields
from galaxy_notify.model.user_preferences import MOST_FIELDS, UserPreferences
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys

#: Users that one call may name.
MOST_USERS: Final = 256
#: Keys that a page of all users looks at.
_COUNT: Final = 256
_SPECIAL: Final = "\\*?[]"
_FIELDS: Final = 4


def preference_query(keys: Keys, type_name: str, users: Sequence[str]) -> ScriptCall:
    """Read what users of one shard prefer for a type; at most `MOST_USERS` of them."""
    args: list[Argument] = [keys.tag, f"type:{type_name}", LONGEST, *users]
    return ScriptCall(script("preference_query"), [keys.never], args)


@reader
def read_queried(reply: Any, users: int) -> list[PreferenceFields]:
    """Read the answer to `preference_query`: four values for each user."""
    if not isinstance(reply, list) or len(reply) != _FIELDS * users:
        raise ValueError(f"no answer of {users} users")
    # A value that is not bytes, such as an error within the list, counts as absent.
    known = [value if isinstance(value, bytes) else None for value in reply]
    return [PreferenceFields(*known[at : at + _FIELDS]) for at in range(0, len(known), _FIELDS)]


class UserChange(NamedTuple):
    """The fields to store for a user; an empty value removes its field, *whole* all others.

    A user without fields is deleted.
    """

    user: str
    fields: Mapping[str, bytes]
    whole: bool = False

    @property
    def adds(self) -> bool:
        """Return whether anything is to be stored, not only taken away."""
        return any(self.fields.values())


def preference_set(keys: Keys, changes: Iterable[UserChange]) -> ScriptCall:
    """Store what users of one shard want; without any of them, mark the shard for later ones."""
    args: list[Argument] = [keys.tag, MOST_FIELDS]
    for user, fields, whole in changes:
        args += (user, "1" if whole else "", len(fields))
        for name, value in fields.items():
            args += (name, value)
    return ScriptCall(script("preference_set"), [keys.preferred, keys.never], args)


def preference_read_page(keys: Keys, cursor: bytes | str = "0") -> ScriptCall:
    """Read all that is stored of a page of the users of one shard."""
    return preference_read(keys, cursor=cursor)


def preference_read(keys: Keys, *users: str, cursor: bytes | str = "") -> ScriptCall:
    """Read all that is stored of some users of one shard, or of a page of them."""
    prefix = keys.preferences("")
    pattern = "".join(f"\\{char}" if char in _SPECIAL else char for char in prefix) + "*"
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
