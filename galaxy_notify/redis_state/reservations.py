"""What is remembered of users between notifications: cooldowns, and the newest of a collapse key.

All of it lies on the user's own shard and goes by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, ScriptCall, script
from galaxy_notify.redis_state.calls import time_argument
from galaxy_notify.redis_state.keys import Keys

#: Users that one call may name.
MOST_USERS: Final = 256
_FIELDS: Final = 4


class Reservation(NamedTuple):
    """A request for a user's cooldown; *undelivered* are holders that were not delivered."""

    user: str
    part: str
    rank: int
    due_at_ms: int | None
    undelivered: bytes = b""


class Holder(NamedTuple):
    """The holder of a reservation: a notification or a part of it, and when it was made."""

    part: str
    made_at_ms: int

    @classmethod
    def read(cls, raw: bytes) -> Holder:
        """Read a reservation in an answer of `cooldown_reserve`; raise ``ValueError`` if wrong."""
        fields = raw.decode("ascii").split(" ")
        if len(fields) != _FIELDS:
            raise ValueError("a reservation is invalid")
        return cls(fields[0], int(fields[3]))

    @classmethod
    @reader
    def read_all(cls, raw: bytes) -> list[Holder]:
        """Read all reservations of one user."""
        return [cls.read(one) for one in raw.split(b",")]


class Order(NamedTuple):
    """The parts of a collapse key that are newer than the given one, and the last older ones."""

    newer: tuple[str, ...] = ()
    older: tuple[str, ...] = ()


def cooldown_reserve(
    keys: Keys,
    kind: str,
    cooldown_ms: int,
    items: Sequence[Reservation],
    now: int | None = None,
) -> ScriptCall:
    """Reserve the cooldown of a type for users of one shard; at most `MOST_USERS` of them."""
    args: list[Argument] = [keys.tag, time_argument(now), kind, cooldown_ms]
    for user, part, rank, due, undelivered in items:
        args += (user, part, rank, due or 0, undelivered)
    return ScriptCall(script("cooldown_reserve"), [keys.never], args)


@reader
def read_cooldown_reserve(reply: Any, users: int) -> list[bytes]:
    """Read the answer to `cooldown_reserve`: for each user the blocking reservations, if any."""
    if not isinstance(reply, list) or len(reply) != users:
        raise ValueError(f"no answer of {users} users")
    if not all(isinstance(held, bytes) for held in reply):
        raise ValueError("a reservation is not bytes")
    return reply


class KeptOrder(NamedTuple):
    """How long the order of a key is kept, and how many older notifications are returned."""

    keep_ms: int
    older: int = 2


def collapse_record(
    keys: Keys, key: str, kept: KeptOrder, items: Iterable[tuple[str, str]], *, note: bool = True
) -> ScriptCall:
    """Record the newest part of a key for users of one shard; without *note* only read."""
    args: list[Argument] = [keys.tag, key, kept.keep_ms, "1" if note else "", kept.older]
    for user, part in items:
        args += (user, part)
    return ScriptCall(script("collapse_record"), [keys.never], args)


@reader
def read_collapse_record(reply: Any, users: int) -> list[Order]:
    """Read the answer to `collapse_record`."""
    if not isinstance(reply, list) or len(reply) != 2 * users:
        raise ValueError(f"no answer of {users} users")
    texts = iter([tuple(value.decode("ascii").split()) for value in reply])
    return [Order(newer, older) for newer, older in zip(texts, texts, strict=True)]
