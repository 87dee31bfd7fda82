"""The rows of a spill: batches of packed intents, each with its number and a checksum of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from typing import Final, NamedTuple
from zlib import crc32

import msgpack

_SELECT: Final = "SELECT id, checksum, packed FROM batches WHERE id > ? ORDER BY id"
#: Below the number of any row, also of one whose number was overwritten.
START: Final = -(1 << 63)
_ROW_BYTES: Final = 1 << 20


class Row(NamedTuple):
    """Intents that are written and sent together."""

    number: int
    checksum: int
    packed: bytes

    @property
    def intents(self) -> list[bytes]:
        """The packed intents; none if the row or its number is damaged."""
        is_whole = type(self.packed) is bytes and self.checksum == _checksum(*self[::2])
        return list(msgpack.unpackb(self.packed)) if is_whole else []


class Disordered(sqlite3.DatabaseError):
    """The numbers of the rows do not grow: a damaged one hides its neighbours."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def rows_of(intents: Iterable[bytes], batch: int, number: int) -> Iterator[Row]:
    """Yield rows of at most *batch* intents and 1 MiB, or of one larger intent.

    Rows are numbered from *number* on.
    """
    intents_of_row: list[bytes] = []
    size = 0
    for packed in intents:
        if intents_of_row and (len(intents_of_row) == batch or size + len(packed) > _ROW_BYTES):
            yield _row(number, intents_of_row)
            number, intents_of_row, size = number + 1, [], 0
        intents_of_row.append(packed)
        size += len(packed)
    if intents_of_row:
        yield _row(number, intents_of_row)


def _row(number: int, intents: list[bytes]) -> Row:
    packed = msgpack.packb(intents)
    return Row(number, _checksum(number, packed), packed)


def _checksum(number: int, packed: bytes) -> int:
    return crc32(b"%d" % number, crc32(packed))


def select(db: sqlite3.Connection, after: int) -> Generator[Row, None, None]:
    """Yield the rows after a number, in order."""
    with closing(db.execute(_SELECT, (after,))) as cursor:
        yield from map(Row._make, cursor)


def insert(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Insert all rows, or none."""
    with db:
        # A single row needs no explicit transaction, and so releases the interpreter only once:
        # a busy caller takes 5 ms to release it again.
        if len(rows) > 1:
            db.execute("BEGIN")
        # An existing row with the number of a new one has a damaged number.
        db.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?, ?)", rows)


def readable_rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Yield the intact rows before the first damaged place, then those after the last."""
    last = START
    for order in ("", " DESC"):
        with suppress(sqlite3.Error):
            for row in map(Row._make, db.execute(_SELECT + order, (last,))):
                if row.intents:
                    last = row.number
                    yield row
