"""The unread marks in Redis: the counts of each user's feed, on the user's own shard.

Postgres has the true counts. A mark answers without it, and may be missing at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from galaxy_notify.model.feed import Counts, parse_counts
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.scripts import Argument, Command, ScriptCall, script
from galaxy_notify.redis_state.keys import Keys
from galaxy_notify.redis_state.recent import is_application
from galaxy_notify.redis_state.words import Word

#: Marks that one call may write.
MARK_MAX: Final = 128
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
