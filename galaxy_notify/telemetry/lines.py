"""Write log lines so that a slow or absent reader cannot stop the process."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Final, TextIO

import structlog

# POSIX writes a pipe in one piece up to this size: lines of several processes never mix.
MAX_LINE: Final = 4096
PATIENCE_MS: Final = 100


class LineWriter:
    """Writes whole lines to a stream; drops them while its reader is stuck, or gone.

    As structlog's own loggers do, it takes a rendered line under the name of any level.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._stuck = False
        self._reported = 0
        self.dropped = 0

    def msg(self, line: str) -> None:
        """Write one line, and after it how many were dropped while the reader was stuck."""
        if self.write(line) and self.dropped > self._reported:
            count, self._reported = self.dropped - self._reported, self.dropped
            # At any level: a log of errors only has lost only errors.
            every = structlog.make_filtering_bound_logger(0)
            structlog.wrap_logger(self, wrapper_class=every).warning(
                "log lines dropped", count=count
            )

    debug = info = warning = error = critical = msg

    def write(self, line: str) -> bool:
        """Write one line, without its end; False if it had to be dropped."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        raw = line.encode(encoding, "backslashreplace")[: MAX_LINE - 1] + b"\n"
        with self._lock:
            written = self._written(raw)
            self.dropped += not written
            return written

    def _written(self, raw: bytes) -> bool:
        if self._stream is None:
            return False
        try:
            descriptor = self._stream.fileno()
        except (OSError, ValueError):
            # No file behind it, as under a test runner; or closed, which writing finds too.
            return self._to_stream(self._stream, raw)
        return self._to_file(descriptor, raw)

    def _to_file(self, descriptor: int, raw: bytes) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        # Patience once per stall: a stuck reader must not slow every line that follows.
        self._stuck = not poll.poll(0 if self._stuck else PATIENCE_MS)
        if self._stuck:
            return False
        with contextlib.suppress(OSError):
            return os.write(descriptor, raw) == len(raw)
        return False

    def _to_stream(self, stream: TextIO, raw: bytes) -> bool:
        with contextlib.suppress(OSError, ValueError):
            stream.write(raw.decode(stream.encoding or "utf-8", "replace"))
            stream.flush()
            return True
        return False
