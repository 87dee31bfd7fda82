"""The inbox of a gateway instance: the stream in which others tell it of events of its users.

Only its owner makes it, so that one who tells of an event never leaves an inbox behind that nobody
reads. It expires soon after its owner has stopped renewing it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgpack
import redis.asyncio

from galaxy_notify.model.cursor import Cursor
from galaxy_notify.redis_client.faults import RedisFault
from galaxy_notify.redis_client.replies import reader
from galaxy_notify.redis_client.runner import run_all
from galaxy_notify.redis_client.scripts import Command
from galaxy_notify.redis_client.stream_member import ask
from galaxy_notify.redis_state.keys import inbox_key

TTL_MS: Final = 60_000
#: Entries that wait for an instance that does not read; what is cut off is read from the lists.
_ENTRIES_MAX: Final = 10_000
_FIELD: Final = b"tellings"
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


def tell(prefix: str, instance: str, tellings: Sequence[Telling]) -> Command:
    """Tell an instance of events; nothing is answered if it has no inbox (any more)."""
    packed = msgpack.packb([(user, *cursor, *rest) for user, cursor, *rest in tellings])
    key = inbox_key(prefix, instance)
    return Command(["XADD", key, "NOMKSTREAM", "MAXLEN", "~", _ENTRIES_MAX, "*", _FIELD, packed])


class InboxPage(NamedTuple):
    """What came into an inbox; *unread* entries could not be read."""

    tellings: Sequence[Telling]
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
        tellings = [telling for page in pages if page is not None for telling in page]
        return InboxPage(tellings, pages.count(None))

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


def _read_entry(fields: Mapping[bytes, bytes]) -> list[Telling] | None:
    """Return the tellings of an entry; None if it was not written by `tell`."""
    if _FIRST in fields:
        return []
    try:
        rows = msgpack.unpackb(fields[_FIELD])
        return [_telling(*row) for row in rows]
    except (KeyError, ValueError, TypeError):
        return None


def _telling(*fields: Any) -> Telling:
    if tuple(map(type, fields)) != (str, str, int, str, bytes, int, str):
        raise TypeError("not an event of a user")
    user, epoch, offset, check, *rest = fields
    return Telling(user, Cursor(epoch, offset, check), *rest)
