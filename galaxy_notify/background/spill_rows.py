"""The rows of a spill: batches of packed intents, each with its number and a checksum of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Final, NamedTuple
from zlib import crc32

import msgpack

_SELECT: Final = "SELECT id, checksum, packed FROM batches WHERE id > ? ORDER BY id"
#: Before every row, also before one whose number was overwritten.
START: Final = -(1 << 63)
_ROW_BYTES: Final = 1 << 20


class Row(NamedTuple):
    """Intents that were written together, and are sent together."""

    number: int
    checksum: int
    packed: bytes

    @property
    def intents(self) -> list[bytes]:
        """Return the packed intents; none where the row was overwritten, or its number."""
        is_whole = type(self.packed) is bytes and self.checksum == _checksum(*self[::2])
        return list(msgpack.unpackb(self.packed)) if is_whole else []


class Disordered(sqlite3.DatabaseError):
    """The numbers of the rows do not grow: one was overwritten, and hides its neighbours."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def rows_of(intents: Iterable[bytes], batch: int, number: int) -> Iterator[Row]:
    """Yield rows of at most *batch* intents and, unless it is a single one, 1 MiB.

    They are numbered from *number* on.
    """
    together: list[bytes] = []
    size = 0
    for one in intents:
        if together and (len(together) == batch or size + len(one) > _ROW_BYTES):
            yield _row(number, together)
            number, together, size = number + 1, [], 0
        together.append(one)
        size += len(one)
    if together:
        yield _row(number, together)


def _row(number: int, intents: list[bytes]) -> Row:
    packed = msgpack.packb(intents)
    return Row(number, _checksum(number, packed), packed)


def _checksum(number: int, packed: bytes) -> int:
    return crc32(b"%d" % number, crc32(packed))


def select(db: sqlite3.Connection, after: int) -> Generator[Row, None, None]:
    """Yield the rows behind a number, in order."""
    with closing(db.execute(_SELECT, (after,))) as cursor:
        yield from map(Row._make, cursor)


def insert(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert all rows, or none."""
    with db:
        # One row is a transaction of its own, and lets go of the interpreter once: a busy caller
        # takes 5 ms to give it back.
        if len(rows) > 1:
            db.execute("BEGIN")
        # What has the number of a new row already is one whose number was overwritten.
        db.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?, ?)", rows)


def readable(db: sqlite3.Connection) -> Iterator[Row]:
    """Yield the whole rows before the first damaged place, then those behind the last."""
    last = START
    for order in ("", " DESC"):
        with suppress(sqlite3.Error):
            for row in map(Row._make, db.execute(_SELECT + order, (last,))):
                if row.intents:
                    last = row.number
                    yield row
