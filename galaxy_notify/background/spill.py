"""The spill of a background notifier: packed intents on the disk, read in order."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress

from galaxy_notify.background.spill_database import SpillDatabase
from galaxy_notify.background.spill_rows import START, Disordered, insert, rows_of, select
from galaxy_notify.errors import ConfigurationError


class Spill(SpillDatabase):
    """Keeps packed intents for one process; safe to share between its threads.

    `settle` deletes the intents that were read; without it they are read again after a crash.
    """

    def __init__(self, path: str | os.PathLike[str], most_bytes: int, batch: int = 100) -> None:
        """Open or create the database, and count its intents.

        *batch* intents are written, and read, together. Raises `ConfigurationError` if the file is
        not a spill, is in use, or cannot be opened.
        """
        self._batch = batch
        self._read = self._settled = self._written = 0
        #: How many intents it held at the start, and how many damaged rows.
        self.found = self.damaged = 0
        #: The oldest of them, None without any.
        self.first: bytes | None = None
        try:
            super().__init__(path, most_bytes)
            self.run(self._survey)
        except OSError as error:
            self.close()
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(f"spill_path: {path}: {reason}") from error

    def append(self, intents: Sequence[bytes]) -> None:
        """Append packed intents, all or none; raise `OSError`."""
        self.run(lambda db: self._append(db, intents))

    def read(self, most: int, most_bytes: int) -> list[bytes]:
        """Return the next intents in order, as whole rows: at least one unless all were read.

        *most_bytes* limits the packed bytes. Raises `OSError`.
        """
        return self.run(lambda db: self._next(db, most, most_bytes))

    def settle(self) -> None:
        """Delete the intents read so far; if the disk refuses, they may be read again later."""
        if self._read > self._settled:
            try:
                self.run(self._delete)
            except OSError:
                if self._read == self._written:
                    # A full disk takes no more of the log, and without that nothing is deleted.
                    with suppress(OSError):
                        self.empty()
                        self._settled = self._read

    def _survey(self, db: sqlite3.Connection) -> None:
        self.found = self.damaged = self._written = 0
        self.first = None
        before = START
        for row in select(db, START):
            if row.number <= before:
                raise Disordered("the rows are out of order")
            before = row.number
            if intents := row.intents:
                self.first = self.first or intents[0]
                self.found += len(intents)
                self._written = row.number
            else:
                self.damaged += 1
        if self.damaged and not self.found:
            db.execute("DELETE FROM batches")
            db.execute("VACUUM")

    def _append(self, db: sqlite3.Connection, intents: Sequence[bytes]) -> None:
        rows = list(rows_of(intents, self._batch, self._written + 1))
        insert(db, rows)
        self._written += len(rows)

    def _next(self, db: sqlite3.Connection, most: int, most_bytes: int) -> list[bytes]:
        intents: list[bytes] = []
        size = 0
        with closing(select(db, self._read)) as rows:
            for row in rows:
                more = row.intents
                if not more:
                    # Its number may be wrong too: skip it only if it is the next one.
                    self._read += row.number == self._read + 1
                    continue
                size += len(row.packed)
                if intents and (len(intents) + len(more) > most or size > most_bytes):
                    break
                intents += more
                self._read = row.number
        return intents

    def _delete(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM batches WHERE id <= ?", (self._read,))
        self._settled = self._read
        if self._read == self._written:
            db.execute("VACUUM")
