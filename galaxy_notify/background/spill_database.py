"""The SQLite database of a spill: locked for one process, and replaced if damaged."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sqlite3
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Final, TypeVar

from galaxy_notify.background.spill_rows import Row, insert, readable_rows
from galaxy_notify.errors import ConfigurationError
from galaxy_notify.telemetry.logs import get_logger

_T = TypeVar("_T")

_MAGIC: Final = b"SQLite format 3\0"
_VERSION: Final = 1
_APPLICATION: Final = int.from_bytes(b"gnsp")
_HEADER: Final = 100
# The bytes that SQLite locks in a database: their number, and their offset.
_LOCK_BYTES: Final = (512, 0x4000_0000)
_ROWS_COPIED: Final = 16
_UNBOUNDED: Final = 1 << 40
_IN_USE: Final = "in use by another notifier; each notifier needs its own file"

_CREATE: Final = f"""
BEGIN;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
CREATE TABLE batches (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, packed BLOB NOT NULL);
COMMIT;
"""
# NORMAL: a commit survives the process; a checkpoint, each second and after 16 MiB, survives the
# machine. FULL would wait for the disk with each commit: docs/background.md has the cost.
# Sent intents stay in the file until it is vacuumed: overwriting each would cost a write.
_TUNE: Final = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 4096;
PRAGMA secure_delete = OFF;
PRAGMA temp_store = MEMORY;
"""

# No thread may be inside SQLite while the process forks: its mutexes would stay locked in the
# child, where another notifier may need them.
_SQLITE: Final = threading.RLock()
os.register_at_fork(
    before=_SQLITE.acquire, after_in_parent=_SQLITE.release, after_in_child=_SQLITE.release
)


class SpillDatabase:
    """A table of rows in a file that is locked against other processes and other objects."""

    def __init__(self, path: str | os.PathLike[str], most_bytes: int) -> None:
        """Lock and open or create the file.

        Raises `ConfigurationError` if it is in use or not a spill, else `OSError`.
        """
        self.path = str(Path(path).absolute())
        self._most_bytes = most_bytes
        self._log = get_logger("background")
        self._file = -1
        self._db: sqlite3.Connection | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return the result of *work*; raise `OSError` for an error of SQLite.

        A damaged database is replaced, and *work* is called a second time.
        """
        with _SQLITE, _disk_errors():
            if self._db is None:
                raise OSError(errno.EBADF, "the spill is closed")
            try:
                return work(self._db)
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._set_aside(self._db, str(error))
            return work(self._db)

    def sync(self) -> None:
        """Write all rows durably to the disk, and empty the write-ahead log."""
        self.run(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def empty(self) -> None:
        """Drop all rows by cutting the file, where a full disk has no room to delete them.

        Raises `OSError`. The log goes first: without it the file is an earlier state.
        """
        with _SQLITE:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._db.close()
                self._db = None
                Path(f"{self.path}-wal").unlink(missing_ok=True)
                os.ftruncate(self._file, 0)
                self._connect()

    def close(self) -> None:
        """Close the database, and let others have it; closing twice does nothing."""
        with _SQLITE:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._db.close()
                self._db = None
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def forget(self) -> None:
        """Leave the database to the process that this one was forked from."""
        if self._db is not None:
            # Closing it, or freeing it at the end of the process, would merge and delete the
            # write-ahead log of the parent, which is still writing it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._db))
            self._db = None
        self.close()

    def _open(self) -> None:
        """Lock the file, and connect to its database, which is created if missing."""
        self._lock_file()
        header = os.pread(self._file, _HEADER, 0)
        is_new = len(header) < _HEADER and _MAGIC.startswith(header[: len(_MAGIC)])
        if not is_new and not _is_spill(header):
            raise self._unusable("is not a spill of this version")
        if is_new:
            os.ftruncate(self._file, 0)
        self._connect()

    def _connect(self) -> None:
        with _disk_errors():
            # SQLite must not lock: its locks end when any other handle of the file is closed.
            uri = f"{Path(self.path).as_uri()}?vfs=unix-none"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            self._db.text_factory = bytes
            # With a single user the index of the log is in memory, not in another file.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self.run(self._tune)

    def _tune(self, db: sqlite3.Connection) -> None:
        # There are no pages in a new file, or after SQLite has rolled back a half-made database.
        if db.execute("PRAGMA page_count").fetchone() == (0,):
            db.executescript(_CREATE)
        db.executescript(_TUNE)
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA max_page_count = {max(1, self._most_bytes // page_size)}")

    def _lock_file(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise self._unusable("not a file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _lock_out_sqlite(self._file)
        except BlockingIOError:
            raise self._unusable(_IN_USE) from None
        if not os.path.samestat(os.fstat(self._file), os.stat(self.path)):
            raise self._unusable(_IN_USE)  # another process has just replaced it

    def _set_aside(self, db: sqlite3.Connection, reason: str) -> None:
        """Keep a damaged database under another name, and continue with its readable rows."""
        names = (f"{self.path}.damaged-{number}" for number in count(1))
        aside = next(name for name in names if not os.path.lexists(name))
        built = self._build(readable_rows(db))
        os.link(self.path, aside)
        self._replace(built, f"{aside}-wal")
        self._log.error("damaged spill set aside", path=aside, reason=reason)

    def _build(self, rows: Iterator[Row]) -> str:
        """Write these rows to a new database; return its path."""
        path = f"{self.path}.new"
        _remove(path)
        built = SpillDatabase(path, _UNBOUNDED)
        try:
            while chunk := list(islice(rows, _ROWS_COPIED)):
                built.run(partial(insert, rows=chunk))
            built.sync()
        except BaseException:
            built.close()
            _remove(path)
            raise
        built.close()
        return path

    def _replace(self, path: str, log: str | None = None) -> None:
        """Replace this database by another, in one step, and open it."""
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
        with suppress(FileNotFoundError):
            # It would be read as the log of the other database.
            os.replace(f"{self.path}-wal", log) if log else os.unlink(f"{self.path}-wal")
        os.replace(path, self.path)
        self.close()
        self._open()

    def _unusable(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"spill_path: {self.path}: {reason}")


def _lock_out_sqlite(file: int) -> None:
    """Lock out the command sqlite3: at its end it would delete the log in use."""
    if sys.platform == "linux":
        # This lock ends with this handle. The usual lock would end when the process closes any
        # handle of the file, such as that of a refused second notifier.
        size, start = _LOCK_BYTES
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, start, size, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
    else:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCK_BYTES)


def _remove(path: str) -> None:
    for name in (path, f"{path}-wal"):
        Path(name).unlink(missing_ok=True)


def _is_spill(header: bytes) -> bool:
    expected = (_MAGIC, _VERSION.to_bytes(4), _APPLICATION.to_bytes(4))
    return (header[:16], header[60:64], header[68:72]) == expected


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    is_unreadable = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return is_unreadable or str(error).startswith("no such table")


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Raise errors of SQLite as `OSError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error)) from error
