"""What users want to be told, in Redis: one hash for each user, on the user's own shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from galaxy_notify.model.preference import LONGEST, Stored
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.scripts import Argument, Call, script

#: Users that one call may name.
MOST_USERS: Final = 256
_FIELDS: Final = 4


def field_of(type_name: str) -> str:
    """Return the field of a user's hash that holds the preference of a type."""
    return f"type:{type_name}"


def consult(keys: Keys, type_name: str, users: Sequence[str]) -> Call:
    """Read what users of one shard want to be told of a type; at most `MOST_USERS` of them."""
    args: list[Argument] = [keys.tag, field_of(type_name), LONGEST, *users]
    return Call(script("consult"), [keys.never], args)


def consulted(reply: Any, users: int) -> list[Stored]:
    """Read the answer to `consult`; raise ``ValueError`` where it is not of so many users."""
    if not isinstance(reply, list) or len(reply) != _FIELDS * users:
        raise ValueError(f"no answer of {users} users")
    return list(_stored(reply))


def _stored(values: Sequence[Any]) -> Iterator[Stored]:
    # What is no text of Redis', such as an error within the list, counts as nothing.
    known = [value if isinstance(value, bytes) else None for value in values]
    for at in range(0, len(known), _FIELDS):
        yield Stored(*known[at : at + _FIELDS])
