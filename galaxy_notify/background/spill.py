"""The spill of a background notifier: an append-only file that is read back in order."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading
from pathlib import Path
from typing import Final

from galaxy_notify.background.spill_frames import (
    FORMAT,
    HEAD,
    Frames,
    framed,
    head,
    read_to,
    unframed,
)
from galaxy_notify.errors import ConfigurationError

_PIECE: Final = 1 << 18
_ALL: Final = 1 << 62


class Spill:
    """Keeps parcels in a file of one process; safe to share between its threads.

    What was read is forgotten with `settle`, and only then: after a crash it is read again. The
    file is emptied when all of it was settled.
    """

    def __init__(self, path: str | os.PathLike[str], most_bytes: int) -> None:
        """Open the file, or make it; look through what it holds.

        Raises `ConfigurationError` where it is not ours, in use, or cannot be opened.
        """
        self.path = str(Path(path).absolute())
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        try:
            self._file = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise self._unusable(os.strerror(error.errno or 0)) from error
        try:
            self._lock_file()
            self._read = self._settled = self._begin()
            self._end = os.fstat(self._file).st_size
            #: How many parcels it held at the start, and how many places that were none.
            self.found, self.damaged = self._survey()
        except OSError as error:
            self.close()
            raise self._unusable(os.strerror(error.errno or 0)) from error
        except ConfigurationError:
            self.close()
            raise

    def append(self, parcels: list[bytes]) -> None:
        """Write parcels to the end; raises `OSError`, and has written nothing then."""
        data = framed(parcels)
        with self._lock:
            if self._end + len(data) > self._most_bytes:
                raise OSError(errno.EDQUOT, "the spill is as large as it may be")
            try:
                self._write(data, self._end)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self._end)
                raise
            self._end += len(data)

    def read(self, most: int, most_bytes: int) -> list[bytes]:
        """Return the next parcels in order, at least one unless all were read."""
        with self._lock:
            while True:
                frames = self._frames(self._read, most, most_bytes)
                self._read += frames.used
                if frames.parcels or self._read >= self._end:
                    return frames.parcels

    def settle(self) -> None:
        """Forget what was read so far. Where the disk refuses that, it is read again some day."""
        with self._lock, contextlib.suppress(OSError):
            if self._file < 0 or self._read == self._settled:
                return
            if self._read == self._end:
                self._empty()
            else:
                self._write(head(self._read), 0)
                self._settled = self._read

    def sync(self) -> None:
        """Have the disk keep what was written."""
        if self._file >= 0:
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file, and let others have it; closing twice does nothing."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def forget(self) -> None:
        """Leave the file to the process that this one was forked from."""
        self._lock = threading.Lock()
        self.close()

    def _lock_file(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise self._unusable("not a file")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._unusable("another notifier uses it; each needs a file of its own") from None

    def _begin(self) -> int:
        """Read the head, or write it; return where to read on."""
        data = os.pread(self._file, HEAD, 0)
        if len(data) < HEAD and FORMAT.startswith(data[: len(FORMAT)]):
            self._write(head(HEAD), 0)
            return HEAD
        if not data.startswith(FORMAT):
            raise self._unusable("holds something else than a spill of this version")
        return min(read_to(data), os.fstat(self._file).st_size)

    def _survey(self) -> tuple[int, int]:
        """Count the parcels, and the places that are damaged, such as a torn end."""
        at, found, damaged = self._read, 0, 0
        while at < self._end:
            frames = self._frames(at, _ALL, _ALL)
            found, damaged = found + len(frames.parcels), damaged + frames.damaged
            at += frames.used
        if not found and self._end > HEAD:
            self._empty()
        return found, damaged

    def _empty(self) -> None:
        # In this order: a crash in between leaves a head that points behind the end.
        os.ftruncate(self._file, HEAD)
        self._write(head(HEAD), 0)
        self._read = self._settled = self._end = HEAD

    def _frames(self, start: int, most: int, most_bytes: int) -> Frames:
        """Read frames from an offset; more than one piece where the first does not fit."""
        size = _PIECE
        while True:
            data = os.pread(self._file, min(size, self._end - start), start)
            frames = unframed(data, most, most_bytes, whole=start + len(data) >= self._end)
            if frames.used or not data:
                return frames
            size *= 4

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, at)
            view, at = view[written:], at + written

    def _unusable(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"spill_path: {self.path}: {reason}")
