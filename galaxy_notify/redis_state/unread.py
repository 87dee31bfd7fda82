"""The unread marks in Redis: the counts of each user's feed, on the user's own shard.

Postgres has the true counts. A mark answers without it, and may be missing at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import redis.asyncio

from galaxy_notify.model.feed import Counts, parse_counts
from galaxy_notify.redis_client.faults import RedisFault, as_fault
from galaxy_notify.redis_client.nodes import at_shard
from galaxy_notify.redis_client.replies import reader, text
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys, keys_with
from galaxy_notify.redis_state.recent import is_application
from galaxy_notify.redis_state.shared_settings import KeySpace
from galaxy_notify.redis_state.words import Word

#: Marks that one call may write.
MARK_MAX: Final = 128
#: Keys that a page looks at.
_COUNT: Final = 512
#: For how long a mark is kept after it was written.
KEEP_MS: Final = 30 * 86_400_000


class UserCounts(NamedTuple):
    """A user, and the counts of the user's feed."""

    user: str
    counts: Counts


class Marked(NamedTuple):
    """What became of the counts of a user.

    *is_new* is False where the mark had these counts already, or newer ones. *instances* hold
    connections of the user, and have an inbox; they are known where *is_new* is True. *reason* is
    why the mark was not written; empty otherwise.
    """

    is_new: bool
    instances: Sequence[str] = ()
    reason: str = ""


def unread_mark(keys: Keys, marks: Sequence[UserCounts], now: int | None = None) -> ScriptCall:
    """Write the marks of at most `MARK_MAX` users of one shard; safe to repeat."""
    args: list[Argument] = [keys.tag, "" if now is None else now, KEEP_MS]
    for user, counts in marks:
        args += (user, *counts)
    return ScriptCall(script("unread_mark"), [keys.never], args)


@reader
def read_marked(reply: Any, marks: int) -> list[Marked]:
    """Read the answer to `unread_mark` of this many users."""
    if len(reply) != 2 * marks:
        raise ValueError(f"no answer of {marks} marks")
    return [_marked(*row) for row in zip(reply[::2], reply[1::2], strict=True)]


def _marked(word: bytes, detail: Any) -> Marked:
    if word.decode() == Word.FAULT:
        return Marked(is_new=False, reason=detail.decode("utf-8", "replace"))
    names = map(bytes.decode, detail or ())
    instances = tuple(name for name in names if not is_application(name))
    return Marked(word.decode() == Word.WRITTEN, instances)


def mark_query(keys: Keys, user: str) -> Command:
    """Return the command that reads the mark of a user."""
    return Command(["HMGET", keys.unread(user), *Counts._fields])


@reader
def read_mark(reply: Any) -> Counts | None:
    """Read the answer to `mark_query`; None where there is no mark, or none that can be read."""
    return parse_counts(reply)


class MarksPage(NamedTuple):
    """Users who have a mark, and where the next page begins; empty behind the last one.

    Counts are None where the mark cannot be read.
    """

    marks: Mapping[str, Counts | None]
    following: str


async def marks_page(client: redis.asyncio.Redis, key_space: KeySpace, begin: str) -> MarksPage:
    """Return a page of all marks; the first begins at ``0 0``.

    One that is written between two pages may be missing; one may come twice. Raises `RedisFault`.
    """
    shard, cursor = begin.split()
    keys = key_space.keys(int(shard))
    # SCAN names no key: in a cluster it is to ask the server of the shard.
    node, prefix = at_shard(client, keys.tag), keys.unread("")
    (reply,) = await run_all(
        node, [Command(["SCAN", cursor, "MATCH", keys_with(prefix), "COUNT", _COUNT])]
    )
    if isinstance(reply, RedisFault):
        raise reply
    cursor, names = text(reply[0]), reply[1]
    users = list(dict.fromkeys(text(name)[len(prefix) :] for name in names))
    found = await run_all(client, [mark_query(keys, user) for user in users]) if users else []
    with as_fault("unread marks"):
        marks = dict(zip(users, map(_mark_or_none, found), strict=True))
    if cursor == "0":
        shard = str(keys.shard + 1)
    is_last = int(shard) == key_space.shared.shards
    return MarksPage(marks, "" if is_last else f"{shard} {cursor}")


def _mark_or_none(reply: Any) -> Counts | None:
    if isinstance(reply, RedisFault):
        if "WRONGTYPE" not in reply.fault.text:
            raise reply
        return None
    return read_mark(reply)
