"""What workers did: a record for each job, with its number and when it began.

Worker processes write them into one named pipe, a few together, so that a job costs its worker
little. A worker's first record, with the number -1, says that it is ready.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.peers.environments import PeerError
from tests.bench.peers.measuring import Worker

RECORD = struct.Struct("<dd")
READY = -1
#: A whole number of records that a pipe takes at once, or not at all.
CHUNK_BYTES = 4080
_PIPE_BYTES = 1 << 20
_LOOK_S = 0.05
_AFTER_S = 0.5


class Record(NamedTuple):
    """One job that a worker did: its number, and when it began, in epoch ms."""

    number: int
    at_ms: float


class Records:
    """The pipe of all workers of a trial."""

    def __init__(self, path: Path, pipe: int) -> None:
        self.path = path
        self._pipe = pipe
        self._raw = bytearray()

    def wait_for_ready(self, workers: Iterable[Worker], count: int, limit_s: float) -> None:
        """Wait until so many workers are ready."""
        self._wait(workers, count, limit_s)

    def wait_for_jobs(self, workers: Iterable[Worker], jobs: int, limit_s: float) -> list[Record]:
        """Return the record of each job by time; raise `PeerError` where one is not done once.

        After the last job it waits a moment for jobs that are done again.
        """
        watched = [*workers]
        self._wait(watched, jobs + len(watched), limit_s)
        self._read(_AFTER_S)
        done = [Record(int(n), at) for n, at in RECORD.iter_unpack(self._raw) if n != READY]
        check_each_once(done, jobs)
        return sorted(done, key=lambda record: record.at_ms)

    def _wait(self, workers: Iterable[Worker], count: int, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while len(self._raw) < count * RECORD.size:
            if time.monotonic() > deadline:
                done = len(self._raw) // RECORD.size
                raise PeerError(f"{done} of {count} records within {limit_s:.0f} s")
            self._read(_LOOK_S)
            for worker in workers:
                worker.alive()

    def _read(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._pipe], [], [], left)[0]:
                self._raw += os.read(self._pipe, _PIPE_BYTES)


def check_each_once(done: list[Record], jobs: int) -> None:
    """Raise `PeerError` unless each of the jobs was done once."""
    numbers = {record.number for record in done}
    if (len(done), numbers) != (jobs, set(range(jobs))):
        raise PeerError(f"{len(done)} times done, {len(numbers)} different of {jobs} jobs")


def rate(records: list[Record]) -> float:
    """Return the jobs a second from the first to the last."""
    return (len(records) - 1) / (records[-1].at_ms - records[0].at_ms) * 1000


@contextmanager
def opened_records() -> Iterator[Records]:
    """Open a pipe for the workers of a trial."""
    with tempfile.TemporaryDirectory(prefix="gn-queue-") as folder:
        path = Path(folder) / "records"
        os.mkfifo(path)
        # Open for both ways, a pipe waits neither for its writer nor ends with it.
        pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            yield Records(path, pipe)
        finally:
            os.close(pipe)
