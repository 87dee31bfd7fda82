"""The inbox of a gateway instance: the stream in which others tell it of its users: events, counts.

Only its owner makes it, so that one who tells of an event never leaves an inbox behind that nobody
reads. It expires soon after its owner has stopped renewing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack
import redis.asyncio

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.model.feed import Counts
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.stream_member import ask
from galaxy_notify.redis_state.keys import inbox_key
from galaxy_notify.redis_state.unread import UserCounts

TTL_MS: Final = 60_000
#: Entries that wait for an instance that does not read; what is cut off is read from the lists.
_ENTRIES_MAX: Final = 10_000
_TELLINGS: Final = b"tellings"
_PUSHES: Final = b"pushes"
_LOGOUTS: Final = b"logouts"
_COUNTS: Final = b"counts"
_FIRST: Final = b"made"


class Telling(NamedTuple):
    """An event of a user, and where it is among the user's events.

    *at_ms* is when it came into the gateway stream, by the server's clock. *before* is the check of
    the user's event before it; empty where the list has none.
    """

    user: str
    cursor: Cursor
    packed: bytes
    at_ms: int
    before: str = ""


class Push(NamedTuple):
    """A message to a user that is not stored; *data* is JSON text."""

    user: str
    type: str
    data: str


class Logout(NamedTuple):
    """A user who was logged out: tokens that were issued until then are void.

    *at_ms* is since 1970, by the server's clock.
    """

    user: str
    at_ms: int


def tell(prefix: str, instance: str, tellings: Sequence[Telling]) -> Command:
    """Tell an instance of events; nothing is answered if it has no inbox (any more)."""
    rows = [(user, *cursor, *rest) for user, cursor, *rest in tellings]
    return _entry(prefix, instance, _TELLINGS, rows)


def push(prefix: str, instance: str, pushes: Sequence[Push]) -> Command:
    """Give an instance messages for its users; answers as `tell`."""
    return _entry(prefix, instance, _PUSHES, pushes)


def tell_logout(prefix: str, instance: str, logout: Logout) -> Command:
    """Tell an instance to end the streams of a user; answers as `tell`."""
    return _entry(prefix, instance, _LOGOUTS, [logout])


def tell_counts(prefix: str, instance: str, counts: Sequence[UserCounts]) -> Command:
    """Tell an instance of the counts of its users' feeds; answers as `tell`."""
    return _entry(prefix, instance, _COUNTS, [(user, *found) for user, found in counts])


def _entry(prefix: str, instance: str, field: bytes, rows: Sequence[Any]) -> Command:
    key, packed = inbox_key(prefix, instance), msgpack.packb(rows)
    return Command(["XADD", key, "NOMKSTREAM", "MAXLEN", "~", _ENTRIES_MAX, "*", field, packed])


#: What others tell an instance of one of its users.
InboxItem: TypeAlias = Telling | Push | Logout | UserCounts


class InboxPage(NamedTuple):
    """What came into an inbox, in order; *unread* entries could not be read."""

    entries: Sequence[InboxItem]
    unread: int


class Inbox:
    """The inbox of this instance. Every method raises `RedisFault`."""

    def __init__(self, client: redis.asyncio.Redis, prefix: str, instance: str) -> None:
        self._client = client
        self._key = inbox_key(prefix, instance)
        self._last: bytes = b""

    async def renew(self) -> bool:
        """Keep the inbox, or make it; return whether it had to be made: what was told is lost."""
        if self._last and await self._is_kept():
            return False
        # A key of another type is in the way of every telling.
        (_, made, _) = await run_all(
            self._client,
            [
                Command(["DEL", self._key]),
                Command(["XADD", self._key, "*", _FIRST, "1"]),
                Command(["PEXPIRE", self._key, TTL_MS]),
            ],
        )
        if isinstance(made, RedisFault):
            raise made
        self._last = made
        return True

    async def _is_kept(self) -> bool:
        length, kept = await run_all(
            self._client, [Command(["XLEN", self._key]), Command(["PEXPIRE", self._key, TTL_MS])]
        )
        if isinstance(length, RedisFault) and "WRONGTYPE" not in length.fault.text:
            raise length
        if isinstance(kept, RedisFault):
            raise kept
        return kept == 1 and not isinstance(length, RedisFault)

    async def read(self, block_ms: int, count: int) -> InboxPage:
        """Wait for tellings; what was read is cut off but for the last entry.

        So the inbox stays small, and its length says how much its owner still has to read.
        """
        reply = await ask(
            self._client.xread({self._key: self._last or "0"}, count=count, block=block_ms)
        )
        rows = _rows(reply)
        if not rows:
            return InboxPage((), 0)
        self._last = rows[-1][0]
        # What is not cut off now is cut off by the next read; what was read must not be lost.
        with suppress(RedisFault):
            await ask(self._client.xtrim(self._key, minid=self._last, approximate=False))
        pages = [_read_entry(fields) for _, fields in rows]
        entries = [entry for page in pages if page is not None for entry in page]
        return InboxPage(entries, pages.count(None))

    async def lag(self) -> int:
        """Return how many entries wait to be read; the newest one that was read is kept."""
        return max(0, int(await ask(self._client.xlen(self._key))) - 1)

    async def close(self) -> None:
        """Remove the inbox: nobody tells this instance anything from now on."""
        await ask(self._client.delete(self._key))


@reader
def _rows(reply: Any) -> list[tuple[bytes, Mapping[bytes, bytes]]]:
    if not reply:
        return []
    rows = next(iter(reply.values())) if isinstance(reply, dict) else reply[0][1]
    found: list[tuple[bytes, Mapping[bytes, bytes]]] = (
        rows[0] if rows and isinstance(rows[0], list) else rows
    )
    return found


def _read_entry(fields: Mapping[bytes, bytes]) -> Sequence[InboxItem] | None:
    """Return what an entry says; None if it was not written by this module."""
    if _FIRST in fields:
        return []
    try:
        for name, read in _READERS.items():
            if name in fields:
                return [read(*row) for row in msgpack.unpackb(fields[name])]
    except (ValueError, TypeError):
        return None
    return None


def _telling(*fields: Any) -> Telling:
    _check(fields, str, str, int, str, bytes, int, str)
    user, epoch, offset, check, *rest = fields
    return Telling(user, Cursor(epoch, offset, check), *rest)


def _push(*fields: Any) -> Push:
    _check(fields, str, str, str)
    push = Push(*fields)
    # JSON has line breaks between values only, and this package writes none: in an event stream
    # they would begin other fields.
    if "\n" in push.data or "\r" in push.data:
        raise ValueError("data with line breaks")
    return push


def _logout(*fields: Any) -> Logout:
    _check(fields, str, int)
    return Logout(*fields)


def _counts(*fields: Any) -> UserCounts:
    _check(fields, str, int, int, int, int)
    return UserCounts(fields[0], Counts(*fields[1:]))


def _check(fields: Sequence[Any], *types: type) -> None:
    if tuple(map(type, fields)) != types:
        raise TypeError("not what this module writes")


_READERS: Final[Mapping[bytes, Callable[..., InboxItem]]] = {
    _TELLINGS: _telling,
    _PUSHES: _push,
    _LOGOUTS: _logout,
    _COUNTS: _counts,
}
